/** The connections that hosts track before anything is asked of them: what `conntrack -L` lists. */
import type { ManagedHost } from '../apply/index.ts';
import { CONNTRACK_COMMANDS, type ConntrackEntry, readConntrack } from '../nftables/index.ts';
import { type Output, type Transport, TransportError } from '../transport/index.ts';

/** The connections of one host, or why they are not known. */
export type HostEntries = readonly ConntrackEntry[] | string;

/** Asks every host side by side, one round trip each; of one that does not answer nothing is known. */
export async function listEntries(
  managed: readonly ManagedHost[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, HostEntries>> {
  const found = managed.map(async ({ name, transport }) => [name, await listOn(transport, signal)] as const);
  return new Map(await Promise.all(found));
}

/** Of the hosts whose connections are known. */
export const knownEntries = (
  listed: ReadonlyMap<string, HostEntries>,
): ReadonlyMap<string, readonly ConntrackEntry[]> =>
  new Map([...listed].flatMap(([name, entries]) => (typeof entries === 'string' ? [] : [[name, entries] as const])));

async function listOn(transport: Transport, signal: AbortSignal): Promise<HostEntries> {
  try {
    const commands = [CONNTRACK_COMMANDS[4], CONNTRACK_COMMANDS[6]].map((argv) => ({ argv }));
    const [ipv4, ipv6] = await transport.runAll(commands, signal);
    return readEntries(ipv4, ipv6);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof TransportError) return error.message;
    throw error;
  }
}

/** A kernel without IPv6 tracks none of it. */
function readEntries(ipv4: Output | undefined, ipv6: Output | undefined): HostEntries {
  if (ipv4 === undefined || ipv4.status === 127) return 'there is no conntrack (Debian package conntrack)';
  if (ipv4.status === 3) return 'they are more than 100,000';
  if (ipv4.status !== 0) return ipv4.stderr.trim().split('\n').at(-1) ?? '';
  try {
    return [...readConntrack(ipv4.stdout), ...readConntrack(ipv6?.status === 0 ? ipv6.stdout : '')];
  } catch (error) {
    if (error instanceof TypeError) return error.message;
    throw error;
  }
}
