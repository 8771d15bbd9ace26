/** `doctor` at the hosts of a lab, in this process: a start of the command line costs more than all that it looks at. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ManagedHost } from '../../apply/index.ts';
import { linuxDriver, type SharedKernel } from '../../drivers/index.ts';
import { type Lab, type LabDoctor, labEntry, onTunnel, patient } from '../../lab/index.ts';
import { loadResources, type ResourceSet } from '../../resources/index.ts';
import { namespaceTransport } from '../../transport/index.ts';
import { isCode } from '../../verify/index.ts';
import { examine } from '../examine.ts';
import { CommandFailure } from '../exit.ts';
import { fix } from '../fix.ts';
import { openOutput } from '../output.ts';

const NEVER = new AbortController().signal;
/** What links it can make is found once for all labs. */
const kernel: SharedKernel = {};

/** The hosts as documents would name them, and the way to each, `within` gone through first. */
export function openLabHosts(
  lab: Lab,
  names: readonly string[],
  within: readonly string[] = [],
): { readonly set: ResourceSet; readonly managed: readonly ManagedHost[] } {
  const text = names
    .map(
      (name) =>
        `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${name} }\nspec: { access: { netns: { name: ${name} } } }\n`,
    )
    .join('---\n');
  const { set } = loadResources([{ name: 'lab', text }]);
  if (set === undefined) throw new TypeError(text);
  const managed = names.map((name) => {
    const transport = namespaceTransport(name, name, { entry: [...labEntry(lab), ...within] });
    return { name, transport, driver: linuxDriver(transport, kernel) };
  });
  return { set, managed };
}

export const labDoctor: LabDoctor = {
  async look(lab, host, within) {
    const { set, managed } = openLabHosts(lab, [host], within);
    return (await examine(openOutput('json', false), set, managed, NEVER)).findings;
  },
  async fix(lab, host, code) {
    if (!isCode(code)) throw new TypeError(code);
    const results: unknown[] = [];
    const output = { ...openOutput('json', false), result: async (value: unknown) => void results.push(value) };
    const mended = fix(output, { fix: code, yes: true }, code, openLabHosts(lab, [host]));
    // What is not for us to do is shown all the same.
    await mended.catch((error: unknown) => {
      if (!(error instanceof CommandFailure) || results.length === 0) throw error;
    });
    const [result] = results;
    if (typeof result !== 'object' || result === null || !('done' in result && 'left' in result)) throw new TypeError();
    return { done: linesOf(result.done), left: linesOf(result.left) };
  },
};

const linesOf = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : []);

/** All that stands on the host, its tunnels included, but for what time itself changes. */
export async function dumpWithTunnels(lab: Lab, host: string): Promise<string> {
  const tunnels = 'for what in endpoints allowed-ips persistent-keepalive; do wg show all $what; done';
  const dump = await lab.dump(host);
  const shown = await onTunnel(lab, host, tunnels);
  return `${dump}\n${shown.split('\n').sort().join('\n')}`;
}

/** Waits until nothing that undoes itself is pending in the lab. */
export async function untilUndone(lab: Lab): Promise<void> {
  const isPending = async (): Promise<boolean> =>
    (await lab.run(['find', '/run/sallyport', '-name', 'undo.sh'], { allowFailure: true })).stdout !== '';
  for (const end = Date.now() + patient(20_000); await isPending(); await sleep(100))
    if (Date.now() > end) throw new Error('it is pending still');
}
