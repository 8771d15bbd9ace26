import { mkdtemp, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { machineFiles } from './files.ts';

const files = machineFiles('edge');
const makeRoom = (): Promise<string> => mkdtemp(join(tmpdir(), 'sallyport-files-'));
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

test('a file is put whole with its mode in a folder for its owner alone, read back and removed', async () => {
  const room = await makeRoom();
  const path = join(room, 'of ours', 'deep', `it's "here"`);
  expect(await files.readFile(path)).toBeUndefined();
  await files.removeFile(path);
  for (const [content, mode] of [
    ['first ü\n', 0o600],
    ['', 0o700],
    ['x'.repeat(3_000_000), 0o640],
  ] as const) {
    await files.writeFile(path, content, mode);
    expect(await files.readFile(path)).toBe(content);
    expect(await modeOf(path)).toBe(mode);
  }
  expect(await modeOf(join(room, 'of ours'))).toBe(0o700);
  expect(await readdir(join(room, 'of ours', 'deep'))).toEqual([`it's "here"`]);
  await files.removeFile(path);
  expect(await files.readFile(path)).toBeUndefined();
});

test('the folders of several hosts are made at once', async () => {
  for (let round = 0; round < 20; round++) {
    const room = await makeRoom();
    const paths = Array.from({ length: 8 }, (_, host) => join(room, 'run', 'netns', String(host), 'record.json'));
    await Promise.all(paths.map((path) => files.writeFile(path, 'x', 0o600)));
    expect(await readdir(join(room, 'run', 'netns'))).toHaveLength(8);
  }
});

test('what a killed run left is overwritten, with its mode', async () => {
  const path = join(await makeRoom(), 'record.json');
  await writeFile(`${path}.new`, 'longer than what comes', { mode: 0o666 });
  await files.writeFile(path, 'short', 0o600);
  expect([await readFile(path, 'utf8'), await modeOf(path)]).toEqual(['short', 0o600]);
});

test('the note stands before the file, and is left alone where it says so already', async () => {
  const room = await makeRoom();
  const [path, note] = [join(room, 'record.json'), join(room, 'namespace')];
  await files.writeFile(path, 'one', 0o600, { note: [note, 'born'] });
  const { ino } = await stat(note);
  await files.writeFile(path, 'two', 0o600, { note: [note, 'born'] });
  expect([await readFile(note, 'utf8'), (await stat(note)).ino]).toEqual(['born\n', ino]);
  await files.writeFile(path, 'three', 0o600, { note: [note, 'born again'] });
  expect(await readFile(note, 'utf8')).toBe('born again\n');
});

test('what cannot be done is said by host and file, in the words of the system, and leaves no draft', async () => {
  const room = await makeRoom();
  await writeFile(join(room, 'no folder'), '');
  const inside = join(room, 'no folder', 'file');
  await expect(files.writeFile(inside, 'x', 0o600)).rejects.toThrow(
    `edge: ${inside} cannot be written: Not a directory`,
  );
  await expect(files.readFile(room)).rejects.toThrow(`edge: ${room} cannot be read: Illegal operation on a directory`);
  await expect(files.removeFile(room)).rejects.toThrow(`edge: ${room} cannot be removed: `);
  await expect(files.writeFile('/dev/full/x', 'x', 0o600)).rejects.toThrow('Not a directory');
  await expect(
    files.writeFile(join(room, 'x'), 'x', 0o600, { signal: AbortSignal.abort(new Error('Ctrl-C')) }),
  ).rejects.toThrow('Ctrl-C');
  expect(await readdir(room)).toEqual(['no folder']);
});
