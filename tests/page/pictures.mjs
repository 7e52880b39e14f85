// Takes the README's picture of the sockets anew: node tests/page/pictures.mjs FOLDER writes sockets.png there. Nothing tests it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { House, end, visit } from './lab.mjs';

const SOCKETS = 20;

const folder = process.argv[2];
if (!folder) throw new Error('name the folder for the picture');
const house = await House.start('--sockets', `${SOCKETS}`);
const devices = async () => (await house.ask('GET', '/v1/devices')).body.devices;

/** Waits for something that takes its minutes. */
async function until(what) {
  for (let cursor = 'now'; !await what();) {
    cursor = (await house.ask('GET', `/v1/events?after=${cursor}&wait=10`)).body.cursor;
  }
}

const heard = (all) => all.filter(({ dialect, last_reading: reading }) => dialect === 'plugline' && reading).length === SOCKETS;
await until(async () => heard(await devices()));
const all = await devices();
const called = (word) => all.filter(({ name, dialect }) => dialect === 'plugline' && name.startsWith(word)).map(({ id }) => id);
await house.ask('POST', '/v1/groups', { name: 'Desks', members: called('Desk') });
await house.ask('POST', '/v1/groups', { name: 'Evening lights', members: called('Lamp').slice(0, 4) });
const [charger] = called('Charger');

const page = await visit(house.url, { size: [1180, 800] });
await page.locator(`[data-id="${charger}"]`).getByRole('switch').click();
await page.locator(`[data-id="${charger}"] .life[data-state=sent]`).waitFor();
writeFileSync(join(folder, 'sockets.png'), await page.screenshot({ animations: 'disabled' }));
await end();
process.exit(0);
