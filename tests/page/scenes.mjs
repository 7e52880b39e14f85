// What is claimed of the page. A scene gives a reason when it is left out because the gateway does not have its endpoint.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { browsersMissNothingWhenTheyAreCut } from './cuts.mjs';
import { House, PATIENCE_MS, ROOT, axe, pageModule, proxy, qr, shot, visit } from './lab.mjs';

const KETTLE = 'dlt645_000000004711';
const DESK = 'dlt645_000000004713';
const VIEWS = ['', `socket/${KETTLE}`, 'join', 'line', 'events', 'events/live', 'settings', 'group'];
const PHONE = [360, 740];

let shared = null;
/** One house for the scenes that leave it as it was. */
const house = () => (shared ||= House.start('--sockets', '2'));
const until = (page, what) => page.waitForFunction(what, null, { timeout: PATIENCE_MS });
const at = (url, view) => `${url}#/${view}`;
const settled = async (page) => { await page.locator('main h1').first().waitFor({ state: 'attached' }); await until(page, () => !document.querySelector('.busy')); };
const card = (page, id) => page.locator(`[data-id="${id}"]`);

async function opened(view, options) {
  const page = await visit(at((await house()).url, view), options);
  await settled(page);
  return page;
}

async function quiet(page, ...more) {
  assert.deepEqual(page.errors, [], 'the browser told of errors');
  for (const one of more) assert.deepEqual(one, []);
  await page.context().close();
}

async function everySocketIsThere() {
  const page = await opened('');
  const { body } = await (await house()).ask('GET', '/v1/devices');
  assert.equal(await page.locator('.socket').count(), body.devices.length);
  await until(page, () => /^\d/.test(document.querySelector('.total')?.textContent || ''));
  await quiet(page);
}

/** Writes down what the card shows at each change: the relay and the command's state. */
const diary = (page, id) => page.evaluate((id) => {
  window.diary = [];
  const look = () => {
    const card = document.querySelector(`[data-id="${id}"]`);
    const now = [card.querySelector('[role=switch]')?.getAttribute('aria-checked'), card.querySelector('.life')?.dataset.state].join(' ');
    if (window.diary.at(-1) !== now) window.diary.push(now);
  };
  look();
  new MutationObserver(look).observe(document.querySelector('main'), { subtree: true, childList: true, attributes: true, characterData: true });
}, id);

async function aSwitchShowsTheLifeOfItsCommand() {
  const page = await opened('');
  await (await house()).until(DESK, (device) => device.state.relay !== null);
  await card(page, DESK).getByRole('switch').waitFor();
  const before = await card(page, DESK).getByRole('switch').getAttribute('aria-checked');
  await diary(page, DESK);
  await card(page, DESK).getByRole('switch').click();
  await card(page, DESK).locator('.life[data-state=confirmed]').waitFor();
  await until(page, () => window.diary.at(-1).endsWith('confirmed'));
  const story = (await page.evaluate(() => window.diary)).map((one) => one.split(' '));
  const turned = story.findIndex(([relay]) => relay !== before);
  // Two steps within a picture are drawn as one.
  const asked = story.findIndex(([, state]) => ['sent', 'acknowledged'].includes(state));
  assert.ok(asked >= 0 && turned > asked, `the knob moved before the line was asked: ${JSON.stringify(story)}`);
  assert.notEqual(story.at(-1)[0], before);
  await card(page, DESK).getByRole('switch').click();
  await until(page, () => document.querySelector('.toast.heard'));
  await quiet(page);
}

async function aFailureSaysWhy() {
  const mine = await House.start('--sockets', '2', '--speed', '10');
  const page = await visit(mine.url);
  const { body } = await mine.ask('GET', '/v1/devices');
  const socket = body.devices.find((device) => device.dialect === 'plugline').id;
  await mine.until(socket, (device) => device.state.relay !== null && device.online);
  ['1', '2', '3'].forEach((number) => mine.hands(`pull ${number}`));
  await card(page, socket).getByRole('switch').click();
  await card(page, socket).locator('.life.bad[data-state]').waitFor({ timeout: PATIENCE_MS * 4 });
  const words = await card(page, socket).locator('.life').textContent();
  assert.match(words, /Failed: .+|Expired/);
  await card(page, socket).getByRole('button', { name: /Dismiss/ }).click();
  await card(page, socket).locator('.life[data-state=failed]').waitFor({ state: 'detached' });
  await quiet(page);
}

async function aSocketIsRenamed() {
  const page = await opened(`socket/${DESK}`);
  const other = await opened('');
  await page.getByRole('button', { name: 'Rename Desk' }).click();
  await page.getByLabel('Name', { exact: true }).fill('Bureau');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Bureau' }).waitFor();
  await card(other, DESK).getByText('Bureau').waitFor();
  assert.equal((await (await house()).device(DESK)).name, 'Bureau');
  await (await house()).ask('PATCH', `/v1/devices/${DESK}`, { name: 'Desk' });
  await page.getByRole('heading', { name: 'Desk', exact: true }).waitFor();
  await quiet(other);
  await quiet(page);
}

async function aSocketIsReplaced() {
  const mine = await House.start('--sockets', '1');
  const page = await visit(at(mine.url, `socket/${DESK}`));
  await page.getByRole('button', { name: 'Replace', exact: true }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Next' }).click();
  await dialog.getByLabel('Address of the new one').fill('not an address');
  await dialog.getByRole('button', { name: 'Next' }).click();
  await dialog.getByRole('button', { name: 'Replace' }).click();
  await dialog.locator('.error').waitFor();
  await dialog.getByLabel('Address of the new one').fill('4799');
  await dialog.getByRole('button', { name: 'Next' }).click();
  await shot(page, 'replace');
  await dialog.getByRole('button', { name: 'Replace' }).click();
  await dialog.getByText('Desk is replaced.').waitFor();
  await dialog.getByRole('button', { name: 'Done' }).click();
  const device = await mine.device(DESK);
  assert.deepEqual([device.id, device.name, device.address], [DESK, 'Desk', '000000004799']);
  assert.deepEqual(page.errors.filter((error) => !error.includes('422')), []);
  await page.context().close();
}

async function powerIsDrawn() {
  const gateway = await house();
  if (!await gateway.has(`/v1/devices/${KETTLE}/readings`)) return 'no readings';
  const page = await opened(`socket/${KETTLE}`);
  await page.locator('.plot canvas').waitFor();
  await until(page, () => /lowest .+ k?W, highest/.test(document.querySelector('.plot').getAttribute('aria-label')));
  const inked = await page.evaluate(() => {
    const canvas = document.querySelector('.plot canvas');
    return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0);
  });
  assert.ok(inked, 'the canvas is empty');
  const csv = await page.getByRole('link', { name: 'Readings as CSV' }).getAttribute('href');
  assert.match((await gateway.ask('GET', new URL(csv).pathname + new URL(csv).search)).body, /^t,power_w/);
  await shot(page, 'socket');
  await quiet(page);
}

async function joinsByItsTypedCode() {
  const mine = await House.start('--sockets', '2', '--speed', '10');
  const page = await visit(at(mine.url, 'join'));
  const asked = [];
  page.on('request', (request) => { if (request.method() === 'POST') asked.push(request.url()); });
  const field = page.getByLabel('Code on the label');
  const slip = mine.label.replace(/.(?=:....$)/, (c) => (c === 'A' ? 'B' : 'A'));
  for (const [wrong, told] of [['PLG2:02A0', /begins with PLG1/], [mine.label.slice(0, -1), /check\) has 3 characters, it takes 4/], [slip, /mistyped/], [`${mine.label}!`, /Character 54/]]) {
    await field.fill(wrong);
    assert.match(await page.locator('.field .error').textContent(), told);
    assert.ok(await page.getByRole('button', { name: 'Let it in' }).isDisabled());
  }
  assert.deepEqual(asked, [], 'a wrong code was sent');
  await field.fill(mine.label.toLowerCase().replace(/:/g, ' : '));
  await page.getByText('The code is whole').waitFor();
  await shot(page, 'join');
  await page.getByRole('button', { name: 'Let it in' }).click();
  await page.getByTestId('window').waitFor();
  const told = page.getByRole('log').locator('li.good');
  await told.filter({ hasText: / is in/ }).first().waitFor({ timeout: PATIENCE_MS * 4 });
  const id = `plugline_${mine.label.slice(5, 21).toLowerCase()}`;
  await mine.until(id, (device) => device.id === id);
  await page.getByRole('link', { name: 'Sockets' }).first().click();
  await card(page, id).waitFor();
  await quiet(page);
}

async function aPhotoOfTheCodeFillsItIn() {
  const { encodeQR } = await qr();
  const page = await opened('join');
  await page.getByRole('button', { name: 'plugline', exact: true }).click();
  const label = (await house()).label;
  const buffer = Buffer.from(encodeQR(label, 'gif', { scale: 6, border: 4 }));
  await page.locator('input[type=file]').setInputFiles({ name: 'label.gif', mimeType: 'image/gif', buffer });
  await page.getByText('The code is whole').waitFor();
  assert.equal(await page.getByLabel('Code on the label').inputValue(), label);
  const other = Buffer.from(encodeQR('something else', 'gif', { scale: 6, border: 4 }));
  await page.locator('input[type=file]').setInputFiles({ name: 'other.gif', mimeType: 'image/gif', buffer: other });
  await page.getByText('This is a code of something else.').waitFor();
  await quiet(page);
}

async function lossAndReturn() {
  const mine = await House.start('--sockets', '1');
  const page = await visit(mine.url, { allow: [/ERR_|Failed to load resource/] });
  await card(page, DESK).getByRole('switch').waitFor();
  await mine.kill();
  await page.getByText('Connection lost.').waitFor();
  await shot(page, 'lost');
  assert.equal(await card(page, DESK).getByRole('switch').getAttribute('aria-disabled'), 'true');
  await mine.again();
  await mine.ask('PATCH', `/v1/devices/${DESK}`, { name: 'Writing desk' });
  await page.getByText('Connected again.').waitFor();
  await card(page, DESK).getByText('Writing desk').waitFor();
  await page.getByText('Connection lost.').waitFor({ state: 'detached' });
  await until(page, () => document.querySelectorAll('.socket .switch:not([aria-disabled])').length > 0);
  await quiet(page);
}

const ground = (page) => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).map(Number)[0]);

async function darkIsDark() {
  const page = await opened('', { dark: true });
  assert.ok(await ground(page) < 60);
  await page.getByRole('button', { name: 'Light appearance' }).click();
  assert.ok(await ground(page) > 200);
  await page.reload();
  await settled(page);
  assert.ok(await ground(page) > 200, 'the choice was forgotten');
  await quiet(page);
}

async function aPhoneIsWideEnough() {
  const page = await opened('', { size: PHONE });
  for (const view of VIEWS) {
    await page.goto(at((await house()).url, view));
    await settled(page);
    const over = await page.evaluate(() => [...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.scroll, .choice, pre, .sr, .map, svg')).map((one) => one.className || one.tagName));
    assert.deepEqual(over, [], `#/${view} is wider than the phone`);
    const small = await page.evaluate(() => [...document.querySelectorAll('button, .button, select, nav a')].filter((one) => { const box = one.getBoundingClientRect(); return box.width && !one.closest('.life') && !one.matches('.skip') && (box.width < 24 || box.height < 24); }).map((one) => one.outerHTML.slice(0, 90)));
    assert.deepEqual(small, [], `#/${view} has targets too small for a thumb`);
  }
  await quiet(page);
}

const focused = (page) => page.evaluate(() => document.activeElement?.getAttribute('aria-label') || document.activeElement?.textContent);
async function tabTo(page, name) {
  for (let turn = 0; turn < 80; turn += 1) {
    await page.keyboard.press('Tab');
    if ((await focused(page))?.includes(name)) return;
  }
  throw new Error(`the key Tab never comes to ${name}`);
}

async function theKeyboardIsEnough() {
  const page = await opened('');
  const before = await card(page, DESK).getByRole('switch').getAttribute('aria-checked');
  await page.keyboard.press('/');
  await page.keyboard.type('desk');
  await until(page, () => [...document.querySelectorAll('.socket .name')].every((one) => /desk/i.test(one.textContent)));
  await tabTo(page, 'Desk, relay');
  await page.keyboard.press('Space');
  await page.waitForFunction(([id, old]) => document.querySelector(`[data-id="${id}"] [role=switch]`).getAttribute('aria-checked') !== old, [DESK, before]);
  await page.keyboard.press('Space');
  await page.waitForFunction(([id, old]) => document.querySelector(`[data-id="${id}"] [role=switch]`).getAttribute('aria-checked') === old, [DESK, before]);
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Desk', exact: true }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  await tabTo(page, 'Remove');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.equal(await focused(page), 'Remove');
  await quiet(page);
}

async function behindAPrefix() {
  const { url, strayed } = await proxy(await house(), '/ingress/a1b2/');
  const page = await visit(url);
  for (const view of VIEWS) {
    await page.goto(at(url, view));
    await settled(page);
  }
  await page.goto(at(url, ''));
  await card(page, DESK).getByRole('switch').click();
  await card(page, DESK).locator('.life[data-state=confirmed]').waitFor();
  await card(page, DESK).getByRole('switch').click();
  await until(page, () => document.querySelectorAll('.toast.heard').length > 0);
  await quiet(page, strayed.filter((path) => path !== '/favicon.ico'));
}

async function noErrorIsTold() {
  const page = await opened('');
  for (const view of VIEWS) {
    await page.goto(at((await house()).url, view));
    await settled(page);
  }
  await quiet(page);
}

async function nothingSerious() {
  const found = [];
  for (const [size, dark] of [[[1280, 860], false], [[1280, 860], true], [PHONE, false]]) {
    const page = await opened('', { size, dark });
    for (const view of VIEWS) {
      await page.goto(at((await house()).url, view));
      await settled(page);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
      violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').forEach(({ id, nodes }) => found.push(`#/${view} ${dark ? 'dark' : 'light'} ${id}: ${nodes.slice(0, 3).map((node) => `${node.html.slice(0, 140)} ${node.any[0]?.message || ''}`).join(' | ')}`));
    }
    await page.context().close();
  }
  assert.deepEqual(found, []);
}

async function aTokenIsAsked() {
  const gateway = await house();
  if (!await gateway.has('/v1/session')) return 'no sessions';
  const made = await gateway.ask('POST', '/v1/tokens', { name: 'page test', scope: 'switch' });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const { url } = await proxy(gateway, '/', { 'x-forwarded-for': '192.0.2.7' });
  const page = await visit(url, { allow: [/status of (401|403|422)/] });
  await page.getByLabel('Access token').fill('hello');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('A token begins with plgu_ or plga_.').waitFor();
  await page.getByLabel('Access token').fill('plgu_0000000000000000000000000000000000000');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('.error').waitFor();
  await shot(page, 'login');
  await page.getByLabel('Access token').fill(made.body.token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await card(page, DESK).waitFor();
  assert.ok(!(await page.evaluate(() => document.cookie + JSON.stringify(localStorage))).includes('plg'), 'a script can read who is signed in');
  await page.reload();
  await card(page, DESK).waitFor();
  await page.goto(at(url, `socket/${DESK}`));
  await settled(page);
  assert.equal(await page.getByRole('button', { name: 'Remove' }).count(), 0, 'what the token may not do is offered');
  await gateway.ask('DELETE', `/v1/tokens/${made.body.id}`);
  await page.goto(at(url, 'line'));
  await page.reload();
  await page.getByLabel('Access token').waitFor();
  await quiet(page);
}

async function groupsShowEachMember() {
  const gateway = await house();
  if (!await gateway.has('/v1/groups')) return 'no groups';
  const page = await opened('group');
  await page.getByLabel('Name of the group').fill('Evening');
  for (const name of ['Desk', 'Floor lamp']) await page.getByRole('checkbox', { name: new RegExp(`^${name} (dlt645|insteon)`) }).check();
  await page.getByRole('button', { name: 'Make the group' }).click();
  await page.locator('[data-id=group_evening]').waitFor();
  await page.getByRole('link', { name: 'Evening' }).click();
  await settled(page);
  await page.locator('.head').getByRole('switch').click();
  await page.locator('.rows .life.confirmed').nth(1).waitFor();
  await page.locator('.head').getByRole('switch').click();
  await page.getByRole('button', { name: 'Dissolve' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Dissolve' }).click();
  await page.locator('[data-id=group_evening]').waitFor({ state: 'detached' });
  await quiet(page);
}

async function tokensAreShownOnce() {
  const gateway = await house();
  if (!await gateway.has('/v1/tokens')) return 'no tokens';
  const page = await opened('settings');
  await page.getByRole('button', { name: 'New token' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('Kitchen tablet');
  await dialog.getByRole('button', { name: 'Make the token' }).click();
  assert.match(await dialog.locator('code').textContent(), /^plgu_/);
  await dialog.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('button', { name: 'Rotate Kitchen tablet' }).click();
  assert.match(await dialog.locator('code').textContent(), /^plgu_/);
  await dialog.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('button', { name: 'Remove Kitchen tablet' }).first().click();
  await dialog.getByRole('button', { name: 'Remove' }).click();
  await dialog.waitFor({ state: 'detached' });
  await quiet(page);
}

async function theLineIsDrawn() {
  const gateway = await house();
  if (!await gateway.has('/v1/lines/dlt645/quality')) return 'no quality';
  const page = await opened('line');
  await page.getByRole('button', { name: 'dlt645', exact: true }).click();
  await page.getByRole('img', { name: /Map of the line/ }).waitFor();
  const { devices } = (await gateway.ask('GET', '/v1/lines/dlt645/quality')).body;
  assert.equal(await page.locator('.map .node').count(), devices.length);
  assert.equal(await page.locator('.strip li').count(), 24);
  assert.equal(await page.getByRole('row').count(), devices.length + 1);
  await shot(page, 'line');
  await quiet(page);
}

async function framesPass() {
  const gateway = await house();
  if (!await gateway.has('/v1/lines/dlt645/live?seconds=1')) return 'no live frames';
  const page = await opened('events/live');
  await page.getByRole('button', { name: 'Listen' }).click();
  await page.locator('.frames').getByText('read_reply').first().waitFor();
  await page.getByRole('searchbox').fill('no such frame');
  await page.locator('.frames').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.getByRole('button', { name: 'Listen' }).waitFor();
  await quiet(page);
}

async function aBackupIsSaved() {
  const gateway = await house();
  if (!await gateway.has('/v1/backup')) return 'no backup';
  const page = await opened('settings');
  await page.getByLabel('Passphrase (optional)').fill('correct horse');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download a backup' }).click()]);
  assert.match(readFileSync(await download.path(), 'utf8'), /^plugline-backup 1/);
  await page.getByText('Restore', { exact: true }).first().click();
  await page.getByLabel('Backup file').setInputFiles({ name: 'x.backup', mimeType: 'text/plain', buffer: Buffer.from('{}') });
  await page.getByRole('button', { name: 'Restore', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Restore' }).click();
  await page.getByRole('dialog').getByText(/no backup of a Plugline gateway/).waitFor();
  assert.deepEqual(page.errors.filter((error) => !error.includes('422')), []);
  await page.context().close();
}

async function codesAreCheckedByTheRulesOfTheLabel() {
  const { checkLabel } = await pageModule('label.js');
  const vectors = JSON.parse(readFileSync(join(ROOT, 'protocol-spec/vectors/plugline-labels.json'), 'utf8'));
  for (const { id, text, expect, error } of vectors) {
    const got = checkLabel(text);
    if (expect) assert.deepEqual(got, { good: true, eui: expect.eui }, id);
    else assert.equal(got.kind, error.kind, id);
  }
}

async function othersFilesAreWhatTheListSays() {
  const folder = join(ROOT, 'src/http/page/vendor');
  const rows = [...readFileSync(join(folder, 'README.md'), 'utf8').matchAll(/^\| `(.+?)` \|.*\| `([0-9a-f]{64})` \|$/gm)];
  assert.equal(rows.length, 5);
  for (const [, name, sum] of rows) assert.equal(createHash('sha256').update(readFileSync(join(folder, name))).digest('hex'), sum, name);
}

/** The API for people, once it stands. */
async function docs(url, options) {
  const page = await visit(new URL('docs', url).href, options);
  await page.locator('.operation').first().waitFor();
  return page;
}

async function theApiIsToldToPeople() {
  const gateway = await house();
  const page = await docs(gateway.url, {});
  const { body } = await gateway.ask('GET', '/openapi.json');
  const all = Object.values(body.paths).flatMap((path) => Object.keys(path)).length;
  assert.equal(await page.locator('.operation').count(), all);
  assert.equal(await page.locator('.problems > li').count(), body['x-problems'].length);
  await page.keyboard.press('/');
  await page.keyboard.type('commands post');
  await until(page, () => document.querySelectorAll('.operation').length === 1);
  await page.locator('.operation summary').first().focus();
  await page.keyboard.press('Enter');
  const line = await page.locator('.copy code').textContent();
  assert.match(line, /^curl -X POST -H 'Content-Type: application\/json' -d '\{"args":\{"on":true\},"command":"switch"\}' 'http:.+\/v1\/devices\/insteon_1a777b\/commands'$/);
  await page.getByText('ttl_s').first().waitFor();
  await page.locator('.nested summary', { hasText: '202' }).click();
  await page.locator('.member', { hasText: 'requested_by' }).first().waitFor();
  await shot(page, 'docs-one');
  await page.getByRole('searchbox').fill('no such thing');
  await page.getByRole('button', { name: 'Show all' }).click();
  await page.getByRole('button', { name: 'admin' }).click();
  await until(page, () => [...document.querySelectorAll('.scope')].every((one) => one.textContent === 'admin'));
  // A link to one operation opens it.
  await page.goto(new URL('docs#getEvents', gateway.url).href);
  await page.reload();
  await page.locator('#getEvents[open] .copy').waitFor();
  await quiet(page);
}

async function theApiIsToldEverywhere() {
  const gateway = await house();
  const { url, strayed } = await proxy(gateway, '/ingress/abc/', {});
  const found = [];
  for (const [name, options] of [['light', {}], ['dark', { dark: true }], ['phone', { size: PHONE }], ['phone-dark', { size: PHONE, dark: true }]]) {
    const page = await docs(url, options);
    await shot(page, `docs-${name}`);
    await page.locator('#postDevicesIdCommands summary').first().click();
    await page.locator('#getDevicesId summary').first().click();
    await page.locator('#getDevicesId .nested summary').first().click();
    await page.locator('#postDevicesIdCommands').scrollIntoViewIfNeeded();
    await shot(page, `docs-${name}-open`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) found.push(`${name} is ${wide} px too wide`);
    assert.match(await page.locator('#getDevicesId .copy code').first().textContent(), /ingress\/abc\/v1\/devices\/insteon_1a777b'$/);
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').forEach(({ id, nodes }) => found.push(`${name} ${id}: ${nodes.slice(0, 3).map((node) => `${node.html.slice(0, 140)} ${node.any[0]?.message || ''}`).join(' | ')}`));
    await quiet(page);
  }
  assert.deepEqual(found, []);
  assert.deepEqual(strayed, []);
}

export const scenes = [
  ['a code is checked by the rules of the label', codesAreCheckedByTheRulesOfTheLabel],
  ['files of others are what the list says', othersFilesAreWhatTheListSays],
  ['every socket and the power of the house are there', everySocketIsThere],
  ['a switch shows the life of its command, and its knob waits for the line', aSwitchShowsTheLifeOfItsCommand],
  ['a command that fails says why until somebody has seen it', aFailureSaysWhy],
  ['a socket is renamed, and other pages hear of it', aSocketIsRenamed],
  ['a socket is replaced step by step and stays who it was', aSocketIsReplaced],
  ['power is drawn as a chart, and can be had as CSV', powerIsDrawn],
  ['a socket joins by its typed code, and a slip is told before it is sent', joinsByItsTypedCode],
  ['a photo of the code fills it in', aPhotoOfTheCodeFillsItIn],
  ['a lost connection is told, and its return catches up', lossAndReturn],
  ['dark is dark, and a choice is kept', darkIsDark],
  ['a phone is wide enough for every view, and a thumb hits what it means', aPhoneIsWideEnough],
  ['the keyboard is enough', theKeyboardIsEnough],
  ['every view works behind a prefix, and nothing strays from it', behindAPrefix],
  ['no view makes the browser tell of an error, nor of its security policy', noErrorIsTold],
  ['nothing serious stands in the way of a screen reader', nothingSerious],
  ['whoever comes through a proxy signs in with a token, and sees what it may', aTokenIsAsked],
  ['a group switches its members and tells of each', groupsShowEachMember],
  ['a token is shown once, rotated and removed', tokensAreShownOnce],
  ['the line is drawn: who hears whom, lost reports, a day of hours', theLineIsDrawn],
  ['frames are shown as they pass', framesPass],
  ['the API is told to people: searched, opened, copied', theApiIsToldToPeople],
  ['the API is told on a phone, in the dark, behind a prefix', theApiIsToldEverywhere],
  ['a backup is saved, and a file that is none is refused with words', aBackupIsSaved],
  ['a browser whose connection is cut at random bytes misses nothing and sees nothing twice', browsersMissNothingWhenTheyAreCut],
];
