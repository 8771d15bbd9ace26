import { expect, test } from 'vitest';
import { checkFile, printBreach } from './walls.ts';

const breaches = (file: string, text: string): readonly string[] => checkFile(file, text).map(printBreach);

for (const [what, file, line, says] of [
  [
    'down the table',
    'src/net/a.ts',
    "import { x } from '../cli/index.ts';",
    '1:19: net may not import cli, which comes after it',
  ],
  [
    'down, types alone',
    'src/host/a.ts',
    "import type { X } from '../plan/index.ts';",
    '1:24: host may not import plan, which comes after it',
  ],
  [
    'down, passed on',
    'src/net/a.ts',
    "export * from '../host/index.ts';",
    '1:15: net may not import host, which comes after it',
  ],
  [
    'down, dynamically',
    'src/sources/a.ts',
    "const f = () => import('../cli/index.ts');",
    '1:24: sources may not import cli, which comes after it',
  ],
  [
    'down, for its effects',
    'src/net/a.ts',
    "import '../lab/index.ts';",
    '1:8: net may not import lab, which comes after it',
  ],
  [
    'past a door',
    'src/plan/a.ts',
    "import { x } from '../net/address.ts';",
    '1:19: net is entered by its index.ts alone',
  ],
  [
    'past a door, in a test',
    'src/plan/a.test.ts',
    "import { x } from '../lab/holder.ts';",
    '1:19: lab is entered by its index.ts alone',
  ],
  [
    'Node in a pure room',
    'src/plan/a.ts',
    "import { join } from 'node:path';",
    '1:22: plan is pure: no "node:path" here, effects live in the rooms after keep',
  ],
  [
    'Node without its prefix',
    'src/net/a.ts',
    "import fs from 'fs';",
    '1:16: net is pure: no "fs" here, effects live in the rooms after keep',
  ],
  [
    'another driver',
    'src/drivers/igd/a.ts',
    "import { x } from '../linux/index.ts';",
    '1:19: one driver knows nothing of another: drivers/linux',
  ],
  [
    'out of src',
    'src/cli/a.ts',
    "import x from '../../scripts/walls.ts';",
    '1:15: "../../scripts/walls.ts" leaves src/',
  ],
  ['a room that is none', 'src/cli/a.ts', "import x from '../misc/index.ts';", '1:15: src/misc is no room'],
  ['no ending', 'src/cli/a.ts', "import x from './print';", '1:15: "./print" lacks its ending .ts'],
] as const) {
  test(`refused: ${what}`, () => expect(breaches(file, line)).toEqual([`${file}:${says}`]));
}

for (const [what, file, line] of [
  ['up the table', 'src/cli/a.ts', "import { x } from '../net/index.ts';"],
  ['within a room', 'src/net/a.ts', "import { x } from './address.ts';"],
  ['the lab, in a test', 'src/net/a.test.ts', "import { startNamespace } from '../lab/index.ts';"],
  ['Node in a test', 'src/net/a.test.ts', "import { isIP } from 'node:net';"],
  ['Node after plan', 'src/transport/a.ts', "import { spawn } from 'node:child_process';"],
  ['a package', 'src/resources/a.ts', "import { z } from 'zod';"],
  ["the drivers' own contract", 'src/drivers/linux/a.test.ts', "import { contract } from '../contract.ts';"],
  ['a driver, by its room', 'src/drivers/index.ts', "export { linux } from './linux/index.ts';"],
  ['words in a comment', 'src/net/a.ts', " * or import('../cli/index.ts')"],
  ['words in a string', 'src/net/a.ts', "const text = 'import x from ';"],
] as const) {
  test(`allowed: ${what}`, () => expect(breaches(file, line)).toEqual([]));
}

test('an import over several lines is placed at what it names', () => {
  expect(breaches('src/net/a.ts', "// first\nimport {\n  a,\n  b,\n} from '../cli/index.ts';\n")).toEqual([
    'src/net/a.ts:5:8: net may not import cli, which comes after it',
  ]);
});

test('a file of more than 400 lines, unless it is a test', () => {
  expect(breaches('src/net/a.ts', '\n'.repeat(401))).toEqual([
    'src/net/a.ts:401:1: 401 lines: no file is longer than 400',
  ]);
  expect(breaches('src/net/a.ts', '\n'.repeat(400))).toEqual([]);
  expect(breaches('src/net/a.test.ts', '\n'.repeat(401))).toEqual([]);
});

test('names that say nothing, and files in no room', () => {
  expect(breaches('src/net/utils.ts', '')).toEqual(['src/net/utils.ts:1:1: "utils" says nothing: name it by its data']);
  expect(breaches('src/net/helpers/a.ts', '')).toHaveLength(1);
  expect(breaches('src/main.ts', '')[0]).toMatch(/^src\/main\.ts:1:1: belongs to no room/);
  expect(breaches('src/stuff/a.ts', '')[0]).toMatch(/belongs to no room/);
});
