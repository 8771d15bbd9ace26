import { DONE } from '../exit.ts';
import { loadSet } from '../load.ts';
import type { Output } from '../output.ts';

/** Checks the documents. Throws InputProblems; with none, says what was read. */
export async function validate(output: Output, { file }: { readonly file: readonly string[] }): Promise<number> {
  const { hosts, tunnels, forwards } = await loadSet(file);
  const counts = [
    ['Host', hosts.size],
    ['Tunnel', tunnels.size],
    ['PortForward', forwards.size],
  ] as const;
  const words = counts.map(([kind, count]) => `${count} ${kind}${count === 1 ? '' : 's'}`);
  await output.result({ problems: [] }, () => `valid: ${words.join(', ')}\n`);
  return DONE;
}
