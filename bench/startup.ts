/** How long the command takes to say its version and its help, beside a node that does nothing. */

import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { inTurns, type Line, median } from './measure.ts';

const run = promisify(execFile);

/** Milliseconds above a node that does nothing: issue 2. */
const ABOVE = 60;

export async function measureStartup(sallyport: string, rounds: number): Promise<readonly Line[]> {
  const lines: Line[] = [];
  for (const { node, version } of await findNodes()) {
    const times = await inTurns(rounds, {
      nothing: () => run(node, ['-e', '0']),
      version: () => run(node, [sallyport, '--version']),
      help: () => run(node, [sallyport, '--help']),
    });
    const nothing = median(times('nothing'));
    for (const word of ['version', 'help'] as const) {
      const value = median(times(word));
      lines.push({
        what: `sallyport --${word}, Node ${version}`,
        value,
        unit: 'ms',
        beside: { what: 'node -e 0', value: nothing },
        goal: { text: `at most ${ABOVE} ms above`, met: value - nothing <= ABOVE },
      });
    }
  }
  return lines;
}

/** The Node of the tools and, where PATH has one of another version, that one too. */
async function findNodes(): Promise<readonly { readonly node: string; readonly version: string }[]> {
  const found = new Map([[process.versions.node, process.execPath]]);
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const node = join(folder, 'node');
    if (!isProgram(node)) continue;
    const version = (await run(node, ['-p', 'process.versions.node'])).stdout.trim();
    if (!found.has(version)) found.set(version, node);
  }
  return [...found].map(([version, node]) => ({ node, version }));
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return false;
  }
}
