/** Tells when a file has another content: kubelet exchanges the folder of a Secret as a whole, so the folder is watched, and the file read. */
import { createHash } from 'node:crypto';
import { readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';

/** Where the kernel tells of no change (some network file systems), and between two events of one change. Milliseconds. */
const EVERY_MS = 5_000;
const SETTLED_MS = 50;

export function followFile(path: string, signal: AbortSignal, onChange: () => void): void {
  // Who was told to stop meanwhile is not told again.
  if (signal.aborted) return;
  let known = digestOf(path);
  const consider = (): void => {
    const now = digestOf(path);
    if (now === undefined || now === known) return;
    known = now;
    onChange();
  };
  let settling: NodeJS.Timeout | undefined;
  try {
    watch(dirname(path), { signal, persistent: false }, () => {
      clearTimeout(settling);
      settling = setTimeout(consider, SETTLED_MS);
    }).on('error', () => {});
  } catch {
    // No inotify left: asked for on a timer alone.
  }
  const timer = setInterval(consider, EVERY_MS);
  signal.addEventListener('abort', () => {
    clearInterval(timer);
    clearTimeout(settling);
  });
}

/** Of the content, which holds keys, nothing is kept. */
function digestOf(path: string): string | undefined {
  try {
    return createHash('sha256').update(readFileSync(path)).digest('hex');
  } catch {
    return undefined;
  }
}
