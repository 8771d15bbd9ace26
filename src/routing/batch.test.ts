import { expect, test } from 'vitest';
import { startNamespace } from '../lab/index.ts';
import { LINKS_COMMAND, printBatches, printBatchLine, readLinks } from './index.ts';

test('commands stay in order, a batch for each run of one family option', () => {
  const batches = printBatches([
    ['link', 'show'],
    ['route', 'add', 'x'],
    ['-6', 'rule', 'add'],
    ['rule', 'add'],
  ]);
  expect(batches).toEqual([
    { argv: ['ip', '-batch', '-'], stdin: 'link show\nroute add x\n' },
    { argv: ['ip', '-6', '-batch', '-'], stdin: 'rule add\n' },
    { argv: ['ip', '-batch', '-'], stdin: 'rule add\n' },
  ]);
});

test('no commands: no batches', () => expect(printBatches([])).toEqual([]));

test('ip takes each argument of a line as it was, quotes and spaces and none included', async () => {
  await using kernel = await startNamespace();
  for (const alias of ['plain', 'two words', "it's", 'say "so"', '', '$HOME `x` ; |', 'tab\tbed']) {
    const [batch] = printBatches([['link', 'set', 'dev', 'lo', 'alias', alias]]);
    await kernel.run(batch?.argv ?? [], { stdin: batch?.stdin ?? '' });
    const [lo] = readLinks((await kernel.run(LINKS_COMMAND)).stdout);
    expect(lo?.alias ?? '').toBe(alias);
  }
});

for (const argument of ['a#b', 'a\nlink delete dev eth0', 'a\\', `both ' and "`]) {
  test(`refused: ${JSON.stringify(argument)}`, () =>
    expect(() => printBatchLine(['link', 'set', argument])).toThrow('not to be said in a batch of ip'));
}

test('refused: an option', () =>
  expect(() => printBatchLine(['-6', 'rule'])).toThrow('an option is no line of a batch'));
