/** What need not be looked at again before it is changed. */
import { decodeRecord, type HostFacts } from '../host/index.ts';
import { TransportError } from '../transport/index.ts';
import { type ManagedHost, type Observation, observeAll } from './observe.ts';

/** What stands on a host for certain, as far as it tells of itself; undefined where that is not known. */
export type Standing = (host: string) => HostFacts | undefined;

/** As observeAll, but for hosts of which is known what stands there, and that are still of that generation. */
export async function observeUnknown(
  hosts: readonly ManagedHost[],
  standing: Standing,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Observation>> {
  const known = new Map<string, Observation>();
  await Promise.all(
    hosts.map(async (host) => {
      const facts = await stillStanding(host, standing, signal);
      if (facts !== undefined) known.set(host.name, { kind: 'observed', facts });
    }),
  );
  const unknown = hosts.filter(({ name }) => !known.has(name));
  return new Map([...known, ...(await observeAll(unknown, signal))]);
}

/** An apply writes its record before all else, and what it changes is told a moment later: so the record is asked. */
async function stillStanding(
  { name, transport }: ManagedHost,
  standing: Standing,
  signal: AbortSignal,
): Promise<HostFacts | undefined> {
  const known = standing(name);
  if (known?.record?.generation === undefined || known.stateFolder === undefined) return undefined;
  const text = await transport.readFile(`${known.stateFolder}/record.json`, signal).catch((error: unknown) => {
    if (error instanceof TransportError) return undefined; // the look that follows says why
    throw error;
  });
  const record = text === undefined ? undefined : decodeRecord(text);
  const isSame = record !== undefined && 'record' in record && record.record.generation === known.record.generation;
  return isSame && standing(name) === known ? known : undefined;
}
