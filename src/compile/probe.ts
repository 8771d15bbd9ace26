/** Which targets answer: how they are asked, what that needs, and what is known where nobody asks. */
import type { AcceptShare } from '../host/index.ts';
import type { Address } from '../net/index.ts';
import type { PortForwardResource } from '../resources/index.ts';
import { type Aimed, aim, type Place, targetId } from './target.ts';
import type { HostView } from './view.ts';

/** By the host that forwards and by PortForward: whether each of its targets answers, in their order; undefined: nobody asked that one. */
export type TargetHealth = ReadonlyMap<string, ReadonlyMap<string, readonly (boolean | undefined)[]>>;

/** How a target is asked, from the host that forwards to it. */
export interface TargetProbe {
  readonly host: string;
  readonly forward: string;
  /** Its place among the forward's targets, and what it is called. */
  readonly index: number;
  readonly id: string;
  /** The host that it is, or lies behind; absent where the asking host has its own way there. */
  readonly node?: string;
  readonly address: Address;
  readonly port: number;
  /** Asked for by HTTP. */
  readonly path?: string;
  /** Nobody said how: that the far end answers at all is enough, be it by a refusal. */
  readonly any?: true;
  readonly intervalMs: number;
  readonly failures: number;
}

/** Of each forward on the host, the targets that were left out when somebody last asked. */
export function silentBefore({ facts }: HostView, setName: string): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, ReadonlySet<string>>();
  for (const { name, silent } of facts.record?.sets.get(setName)?.forwards ?? [])
    if (silent !== undefined) found.set(name, new Set([...(found.get(name) ?? []), ...silent]));
  return found;
}

/** As it was found out; of what nobody asked, as it stands. */
export const answersAt = (
  { name, to }: PortForwardResource,
  health: ReadonlyMap<string, readonly (boolean | undefined)[]> | undefined,
  silent: ReadonlyMap<string, ReadonlySet<string>> | undefined,
): readonly boolean[] =>
  to.map((target, index) => health?.get(name)?.[index] ?? silent?.get(name)?.has(targetId(target)) !== true);

/** What a probe needs of a tunnel beside what the forward does. */
export function probed(
  { name, health, ports }: PortForwardResource,
  accepts: readonly NonNullable<Aimed['accept']>[],
): readonly { readonly host: string; readonly accept: AcceptShare }[] {
  if (health === undefined) return [];
  const { port } = health;
  const isOpen = ports.some(
    ({ protocol, targetPorts }) => protocol === 'tcp' && targetPorts.first <= port && port <= targetPorts.last,
  );
  if (isOpen) return [];
  return accepts.map(({ host, ...accept }) => ({
    host,
    accept: { name, protocol: 'tcp', ports: { first: port, last: port }, ...accept },
  }));
}

/** Without `health`, a forward is asked at its first TCP port, and one that has none is not. */
const UNSAID = { intervalMs: 200, failures: 3 } as const;

/** How the targets of a forward are asked from one of its hosts: by the first family that reaches them. */
export function probesOf(place: Omit<Place, 'answers'>): readonly TargetProbe[] {
  const { forward, edge } = place;
  const { name, health, to, ports, families } = forward;
  if (health === undefined && to.length < 2) return [];
  const first = ports.find(({ protocol }) => protocol === 'tcp')?.targetPorts.first;
  const how = health ?? (first === undefined ? undefined : { ...UNSAID, port: first, any: true as const });
  if (how === undefined) return [];
  return to.flatMap((target, index) => {
    for (const family of families) {
      const aimed = aim(place, target, family);
      if (typeof aimed === 'string') continue;
      const node = target.kind === 'host' ? { node: target.host } : {};
      return [
        { host: edge.name, forward: name, index, id: targetId(target), ...node, address: aimed.forward.to, ...how },
      ];
    }
    return [];
  });
}
