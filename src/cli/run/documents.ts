/** Reads the documents again when their files change. */
import { createHash } from 'node:crypto';
import { watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readSource } from '../../sources/index.ts';
import { createWake, pause } from './wake.ts';

/** An editor writes in several steps: milliseconds of quiet before a file counts as written. */
const SETTLE_MS = 100;

const NO_STDIN = { stdin: (async function* () {})() };

/** The sum of all that the documents say, to be compared, for they may be megabytes; what cannot be read is part of it. */
async function sumOf(paths: readonly string[]): Promise<string> {
  const { texts, problems } = await readSource(paths, NO_STDIN);
  const all = JSON.stringify([texts, problems.map(({ at, what }) => [at.file, what])]);
  return createHash('sha256').update(all).digest('base64');
}

/**
 * Calls `onChange` whenever what `paths` hold has become something else than it was before; they are looked at when the kernel says that
 * something there changed, and every `everyMs`, for it does not say so of every file system.
 */
export async function watchDocuments(
  paths: readonly string[],
  everyMs: number,
  onChange: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const wake = createWake();
  const watchers = await Promise.all(paths.map((path) => watchPlace(path, wake.wake)));
  let before = await sumOf(paths);
  while (!signal.aborted) {
    await wake.next(everyMs, signal);
    if (signal.aborted) break;
    await pause(SETTLE_MS, signal);
    const now = await sumOf(paths);
    if (now === before) continue;
    before = now;
    await onChange();
  }
  for (const watcher of watchers) watcher?.close();
}

/** A folder, or the one that a file stands in: what is renamed into place is another file, of which the old one's watch knows nothing. */
async function watchPlace(path: string, onEvent: () => void): Promise<ReturnType<typeof watch> | undefined> {
  try {
    const isFolder = (await stat(path)).isDirectory();
    const watcher = watch(isFolder ? path : dirname(path), { recursive: isFolder }, onEvent);
    watcher.on('error', onEvent);
    return watcher;
  } catch {
    return undefined; // looked at on the timer alone
  }
}
