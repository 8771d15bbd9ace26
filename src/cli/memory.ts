/** How much memory a command may take: an edge may have 512 MB in all. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Characters of documents from which memory counts; a thousand forwards are some 200,000. */
const MANY = 200_000;

/** Unknown flags are a line on stderr: V8 has these in the Nodes up to here (20 and 24 tried). */
const LAST_KNOWN_NODE = 24;

/**
 * Where `characters` of documents are to be worked on: lets V8 collect garbage earlier than it would like to. An apply of ten thousand
 * forwards takes some 190 MiB then, and 320 without, in the same time. Not at the start of every command: what Node
 * loads after a change of flags it must compile anew, 25 ms for `--version`.
 */
export function saveMemory(characters: number): void {
  if (characters < MANY || Number(process.versions.node.split('.')[0]) > LAST_KNOWN_NODE) return;
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--heap-growing-percent=50');
}

/**
 * Gives back to the system what is garbage now, for who goes on for days after much work: V8 by itself keeps the pages for more of the same, twice
 * what is in use. It stops all else, a tenth of a second for a hundred hosts with ten thousand forwards.
 */
export function giveBack(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
