/** `doctor` at its hosts: everything that is asked of them, and what that says. */
import { type ManagedHost, reasonOf } from '../apply/index.ts';
import type { HostFacts } from '../host/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import type { Network } from '../simulate/index.ts';
import { type Diagnosis, diagnose, LOOK_COMMANDS, type Looks, liveNetwork, readLooks } from '../verify/index.ts';
import { findSettings, type SettingLine } from './causes.ts';
import { CommandFailure } from './exit.ts';
import type { Output } from './output.ts';
import { type Sighting, sightAll, sightingsOf } from './sightings.ts';
import { surveyManaged } from './survey.ts';

export interface ManyHosts extends Diagnosis {
  /** Hosts that did not answer. */
  readonly unreachable: readonly { readonly host: string; readonly why: string }[];
}

/** What was seen of the hosts. */
export interface Examined {
  readonly set: ResourceSet;
  readonly facts: ReadonlyMap<string, HostFacts>;
  readonly unreachable: ReadonlyMap<string, string>;
  readonly seen: ReadonlyMap<string, Sighting>;
  /** By host; of one that did not answer nothing. */
  readonly closer: ReadonlyMap<string, Closer | undefined>;
}

/** Looks at the hosts and says what is wrong with them; by whatever transport they were opened. */
export const examine = async (...hosts: Parameters<typeof lookAt>): Promise<ManyHosts> =>
  diagnoseAll(await lookAt(...hosts));

export async function lookAt(
  output: Output,
  set: ResourceSet,
  managed: readonly ManagedHost[],
  signal: AbortSignal,
): Promise<Examined> {
  const [{ facts, unreachable }, seen, looked] = await Promise.all([
    surveyManaged(set, managed, signal, output),
    sightAll(managed, signal),
    Promise.all(managed.map(async (host) => [host.name, await lookCloser(host, signal)] as const)),
  ]);
  return { set, facts, unreachable, seen, closer: new Map(looked) };
}

/** The hosts as they stand, with who listens on them. */
export const networkOf = ({ set, facts, unreachable, seen }: Examined): Network =>
  liveNetwork(set, facts, unreachable, sightingsOf(seen, facts));

/** What is wrong with the hosts as they were seen. */
export function diagnoseAll(examined: Examined): ManyHosts {
  const { facts, unreachable, seen, closer } = examined;
  const network = networkOf(examined);
  const diagnoses = [...network.hosts.values()].flatMap((simulated): readonly Diagnosis[] => {
    const { name } = simulated;
    const known = facts.get(name);
    const looked = closer.get(name);
    if (known === undefined || looked === undefined || unreachable.has(name)) return [];
    return [diagnose({ host: name, facts: known, simulated, network, ...socketsOf(seen.get(name)), ...looked })];
  });
  return {
    findings: diagnoses.flatMap(({ findings }) => findings),
    notLooked: diagnoses.flatMap(({ notLooked }) => notLooked),
    unreachable: [...unreachable].map(([host, why]) => ({ host, why })),
  };
}

const socketsOf = (sighting: Sighting | undefined) =>
  sighting?.sockets === undefined ? {} : { sockets: sighting.sockets };

export interface Closer {
  readonly looks: Looks;
  readonly settings: readonly SettingLine[];
}

/** Undefined of a host that does not answer: why, the look at its facts says. */
async function lookCloser({ name, transport }: ManagedHost, signal: AbortSignal): Promise<Closer | undefined> {
  try {
    const [outputs, settings] = await Promise.all([
      transport.runAll(
        LOOK_COMMANDS.map((argv) => ({ argv })),
        signal,
      ),
      findSettings(transport, signal),
    ]);
    return { looks: readLooks(outputs), settings };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Error && error.name === 'TransportError') return undefined;
    throw new CommandFailure(`${name}: ${reasonOf(name, error)}`, { cause: error });
  }
}
