/** `doctor` at its hosts: everything that is asked of them, and what that says. */
import { type ManagedHost, reasonOf } from '../apply/index.ts';
import type { ResourceSet } from '../resources/index.ts';
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

/** Looks at the hosts and says what is wrong with them; by whatever transport they were opened. */
export async function examine(
  output: Output,
  set: ResourceSet,
  managed: readonly ManagedHost[],
  signal: AbortSignal,
): Promise<ManyHosts> {
  const [survey, seen, looked] = await Promise.all([
    surveyManaged(set, managed, signal, output),
    sightAll(managed, signal),
    Promise.all(managed.map(async (host) => [host.name, await lookCloser(host, signal)] as const)),
  ]);
  const { facts, unreachable } = survey;
  const known = sightingsOf(seen, facts);
  const network = liveNetwork(set, facts, unreachable, known);
  const diagnoses = [...network.hosts.values()].flatMap((simulated): readonly Diagnosis[] => {
    const { name } = simulated;
    const known = facts.get(name);
    const closer = new Map(looked).get(name);
    if (known === undefined || closer === undefined || unreachable.has(name)) return [];
    return [diagnose({ host: name, facts: known, simulated, network, ...socketsOf(seen.get(name)), ...closer })];
  });
  return {
    findings: diagnoses.flatMap(({ findings }) => findings),
    notLooked: diagnoses.flatMap(({ notLooked }) => notLooked),
    unreachable: [...unreachable].map(([host, why]) => ({ host, why })),
  };
}

const socketsOf = (sighting: Sighting | undefined) =>
  sighting?.sockets === undefined ? {} : { sockets: sighting.sockets };

interface Closer {
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
