import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { printProblem } from '../resources/index.ts';
import { readSource } from './index.ts';

let folder = '';
const at = (...names: string[]): string => join(folder, ...names);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-sources-'));
  await mkdir(at('set', 'b'), { recursive: true });
  await mkdir(at('empty'));
  await writeFile(at('set', 'z.yaml'), 'z: 1\n');
  await writeFile(at('set', 'b', 'a.json'), '{"a": 1}');
  await writeFile(at('set', 'b', 'c.yml'), 'c: ü\n');
  await writeFile(at('set', 'README.md'), 'not read');
  await writeFile(at('binary.yaml'), Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0x00]));
  await writeFile(at('latin1.yaml'), Buffer.from([0x61, 0x3a, 0x20, 0xfc]));
  await writeFile(at('huge.yaml'), '');
  await truncate(at('huge.yaml'), 64 * 1024 * 1024 + 1);
  await symlink('loop', at('loop'));
  expect(spawnSync('mkfifo', [at('pipe')]).status).toBe(0);
});
afterAll(() => rm(folder, { recursive: true }));

/** What is read, paths without the test's folder. */
async function read(paths: readonly string[], stdin = ''): Promise<{ texts: string[]; problems: string[] }> {
  const { texts, problems } = await readSource(paths, { stdin: Readable.from([Buffer.from(stdin)]) });
  const short = (text: string): string => text.replaceAll(`${folder}/`, '');
  return {
    texts: texts.map(({ name, text }) => `${short(name)} ${text.trim()}`),
    problems: problems.map((problem) => short(printProblem(problem))),
  };
}

test('a folder is all its documents, sorted by path', async () => {
  expect(await read([at('set')])).toEqual({
    texts: ['set/b/a.json {"a": 1}', 'set/b/c.yml c: ü', 'set/z.yaml z: 1'],
    problems: [],
  });
});

test('a file is read whatever its name is, once, in the order given; - is stdin', async () => {
  expect(await read([at('set', 'README.md'), '-', at('set', 'z.yaml'), at('set', 'z.yaml')], 'x: 1')).toEqual({
    texts: ['set/README.md not read', '<stdin> x: 1', 'set/z.yaml z: 1'],
    problems: [],
  });
});

test('a pipe is read to its end', async () => {
  const reading = read([at('pipe')]);
  await writeFile(at('pipe'), 'p: 1');
  expect(await reading).toEqual({ texts: ['pipe p: 1'], problems: [] });
});

for (const [name, says] of [
  ['missing.yaml', 'missing.yaml: no such file or folder'],
  ['set/z.yaml/x', 'set/z.yaml/x: no such file or folder'],
  ['empty', 'empty: holds no .yaml, .yml or .json file'],
  ['binary.yaml', 'binary.yaml: is no text: it holds zero bytes (a binary file, or UTF-16; write UTF-8)'],
  ['latin1.yaml', 'latin1.yaml: is no text in UTF-8'],
  ['huge.yaml', 'huge.yaml: is larger than 64 MiB'],
  ['loop', 'loop: leads in a circle of links'],
] as const) {
  test(`said in words: ${name}`, async () => expect(await read([at(name)])).toEqual({ texts: [], problems: [says] }));
}

test('all that cannot be read is said at once, beside what can', async () => {
  expect(await read([at('missing.yaml'), at('set', 'z.yaml'), '-', '-', '/dev/zero'], 'x: 1')).toEqual({
    texts: ['set/z.yaml z: 1', '<stdin> x: 1'],
    problems: [
      'missing.yaml: no such file or folder',
      '<stdin>: is named twice; it can be read once',
      '/dev/zero: is larger than 64 MiB',
    ],
  });
});
