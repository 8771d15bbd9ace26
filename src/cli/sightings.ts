/** What `trace` looks at beside the facts of hosts: how they are wired, and who listens. */
import { type ManagedHost, reasonOf } from '../apply/index.ts';
import type { HostFacts } from '../host/index.ts';
import { NAMESPACES_COMMAND, NEIGHBOURS_COMMAND, readNamespaceNames, readNeighbours } from '../routing/index.ts';
import { type Socket, wireHosts } from '../simulate/index.ts';
import { type Output, type Transport, TransportError } from '../transport/index.ts';
import type { Sightings } from '../verify/index.ts';
import { CommandFailure } from './exit.ts';
import { readAllSockets, SOCKET_COMMANDS } from './sockets.ts';

/** What one host said of itself; a host that did not answer said nothing. */
export interface Sighting {
  /** Absent where they could not be read. */
  readonly sockets?: readonly Socket[];
  /** As Transport has it. */
  readonly kernel?: string;
  readonly namespaces: ReturnType<typeof readNamespaceNames>;
  readonly neighbours: ReturnType<typeof readNeighbours>;
}

/** Asks every host side by side, one round trip each. Throws a CommandFailure where one says what cannot be read. */
export async function sightAll(
  managed: readonly ManagedHost[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Sighting>> {
  const found = managed.map(async ({ name, transport }) => {
    try {
      return [[name, await sight(transport, signal)] as const];
    } catch (error) {
      signal.throwIfAborted();
      // Why it does not answer, the look at its facts says.
      if (error instanceof TransportError) return [];
      throw new CommandFailure(`${name}: ${reasonOf(name, error)}`, { cause: error });
    }
  });
  return new Map((await Promise.all(found)).flat());
}

/** What is asked of every host. */
export const SIGHT_COMMANDS: readonly (readonly string[])[] = [
  NAMESPACES_COMMAND,
  NEIGHBOURS_COMMAND,
  ...SOCKET_COMMANDS,
];

async function sight(transport: Transport, signal: AbortSignal): Promise<Sighting> {
  const outputs = await transport.runAll(
    SIGHT_COMMANDS.map((argv) => ({ argv })),
    signal,
  );
  const text = (output: Output | undefined): string => (output?.status === 0 ? output.stdout : '');
  const [namespaces, neighbours, ...tables] = outputs;
  const sockets = readAllSockets(tables);
  return {
    ...(sockets !== undefined && { sockets }),
    ...(transport.kernel !== undefined && { kernel: transport.kernel }),
    namespaces: readNamespaceNames(text(namespaces)),
    neighbours: readNeighbours(text(neighbours)),
  };
}

/** Puts together what all said. */
export function sightingsOf(seen: ReadonlyMap<string, Sighting>, facts: ReadonlyMap<string, HostFacts>): Sightings {
  const wired = [...facts].flatMap(([name, { state, namespace }]) => {
    const sighting = seen.get(name);
    if (sighting === undefined) return [];
    const { namespaces, neighbours, kernel } = sighting;
    return [
      {
        ...{ name, links: state.links, namespaces, neighbours },
        ...(namespace !== undefined && { namespace }),
        ...(kernel !== undefined && { kernel }),
      },
    ];
  });
  return {
    wires: wireHosts(wired),
    sockets: socketsOf(seen),
  };
}

/** Of the hosts whose sockets could be read. */
export const socketsOf = (seen: ReadonlyMap<string, Sighting>): Sightings['sockets'] =>
  new Map([...seen].flatMap(([name, { sockets }]) => (sockets === undefined ? [] : [[name, sockets] as const])));
