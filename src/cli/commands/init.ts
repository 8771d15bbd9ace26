import { writeFile } from 'node:fs/promises';
import type { Access } from '../../resources/index.ts';
import { CommandFailure, DONE, UsageError } from '../exit.ts';
import { manage, readSshUrl } from '../hosts.ts';
import { listenForInterrupt } from '../interrupt.ts';
import { findListeners } from '../listeners.ts';
import type { Output } from '../output.ts';
import { type SeenHost, slimEdgeFile } from '../slim-edge-file.ts';

export interface InitFlags {
  readonly edge: string;
  readonly node: string;
  readonly out?: string;
  readonly force?: boolean;
}

/** Looks at edge and node and writes the first file of a slim edge to stdout or `--out`; never over a file without --force. */
export async function initSlimEdge(output: Output, { edge, node, out, force }: InitFlags): Promise<number> {
  if (edge === node) throw new UsageError(`edge and node are both "${edge}": name two hosts`);
  const ways = [readAccess('--edge', edge), readAccess('--node', node)] as const;
  using interrupt = listenForInterrupt(false);
  output.progress('looking at edge, node');
  const [seenEdge, seenNode] = await Promise.all([
    look('edge', ways[0], interrupt.signal),
    look('node', ways[1], interrupt.signal),
  ]);
  const { text, warnings } = slimEdgeFile(seenEdge, seenNode);
  if (out === undefined) await output.write(text);
  else {
    await writeNew(out, text, force === true);
    output.say(`wrote ${out}; next: sallyport plan -f ${out}`);
  }
  for (const warning of warnings) output.say(`look at this: ${warning}`);
  return DONE;
}

/** `local`, `netns:NAME`, `ssh://USER@HOST:PORT`. */
function readAccess(flag: string, text: string): Access {
  if (text === 'local') return { kind: 'local' };
  const name = /^netns:([A-Za-z0-9._-]+)$/.exec(text)?.[1];
  if (name !== undefined) return { kind: 'netns', name };
  if (text.startsWith('ssh://')) return { kind: 'ssh', port: 22, ...readSshUrl(flag, text) };
  throw new UsageError(`${flag} "${text}" is neither local, netns:NAME nor ssh://USER@HOST:PORT`);
}

/** As it stands in a document. */
function writtenAccess(access: Access): string {
  if (access.kind === 'netns') return `netns: { name: ${JSON.stringify(access.name)} }`;
  if (access.kind !== 'ssh') return 'local: {}';
  const { address, port, user } = access;
  const fields = [
    `address: ${JSON.stringify(address)}`,
    ...(port === 22 ? [] : [`port: ${port}`]),
    ...(user === undefined ? [] : [`user: ${user}`]),
  ];
  return `ssh: { ${fields.join(', ')} }`;
}

async function look(name: string, access: Access, signal: AbortSignal): Promise<SeenHost> {
  const { driver, transport } = manage({ name, access });
  const [facts, listeners] = await Promise.all([driver.observe(signal), findListeners(transport, signal)]);
  return {
    access: writtenAccess(access),
    facts,
    listeners,
  };
}

async function writeNew(path: string, text: string, force: boolean): Promise<void> {
  try {
    await writeFile(path, text, { flag: force ? 'w' : 'wx' });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
      throw new UsageError(`${path} is there already; --force writes over it`);
    }
    throw new CommandFailure(`${path} cannot be written: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
