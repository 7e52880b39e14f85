// The page in a real browser, in front of a real gateway with a simulated house. Each scene is a claim in plain words.
// node tests/page/run.mjs [WORD…] runs the scenes whose claims hold these words. tests/run installs what it needs.
import { end } from './lab.mjs';
import { scenes } from './scenes.mjs';

const WHOLE_MS = 10 * 60_000;
setTimeout(() => { console.log(`not done after ${WHOLE_MS / 1000} s`); process.exit(1); }, WHOLE_MS).unref();

const words = process.argv.slice(2);
let failed = 0;
for (const [claim, scene] of scenes.filter(([claim]) => words.every((word) => claim.includes(word)))) {
  const began = Date.now();
  try {
    const left = await scene();
    console.log(`${left ? `left out (${left})` : 'ok'}  ${claim}  ${Date.now() - began} ms`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${claim}\n${String(error.stack).replace(/^/gm, '    ')}`);
  }
}
await end();
console.log(failed ? `${failed} failed` : 'all good');
process.exit(failed ? 1 : 0);
