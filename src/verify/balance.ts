/** A balanced forward promises the same of each of its targets: a client is found for every one. */
import { type ForwardShare, type ForwardTarget, targetsOf } from '../host/index.ts';
import { type Address, containsAddress, sameAddress } from '../net/index.ts';
import { lookupRoute } from '../routing/index.ts';
import { type Flow, simulate } from '../simulate/index.ts';
import type { Client } from './clients.ts';
import type { Expected } from './judge.ts';
import type { Ground } from './promise.ts';

/** A client, and the target that its packets should come to. */
export interface Pair {
  readonly client: Client;
  readonly target: ForwardTarget;
}

export interface Asking {
  readonly clients: readonly Client[];
  /** Whether others may be asked in place of the first. */
  readonly isUsual: (address: Address) => boolean;
  readonly flowOf: (client: Client) => Flow;
  readonly expectedOf: (target: ForwardTarget) => Expected;
}

/** More clients than this are not tried, so many of which go to one in a thousand. */
const MOST_CLIENTS = 1_000;

/** Each client with its target, and clients more until every target has one; `missing` are those that no client came to. */
export function pairs(
  ground: Ground,
  forward: ForwardShare,
  asking: Asking,
): { readonly pairs: readonly Pair[]; readonly missing: readonly ForwardTarget[] } {
  const { clients, flowOf, expectedOf } = asking;
  const targets = targetsOf(forward);
  const [only, second] = targets;
  if (only === undefined) return { pairs: [], missing: [] };
  if (second === undefined) return { pairs: clients.map((client) => ({ client, target: only })), missing: [] };
  const comesTo = (client: Client): ForwardTarget => targetOf(ground, forward, flowOf(client), expectedOf);
  const found = clients.map((client) => ({ client, target: comesTo(client) }));
  const missing = new Set(targets.filter((target) => !found.some((pair) => pair.target === target)));
  const [first] = clients;
  if (first === undefined) return { pairs: [], missing: [] };
  for (const client of others(ground, forward, first, asking)) {
    if (missing.size === 0) break;
    const target = comesTo(client);
    if (missing.delete(target)) found.push({ client, target });
  }
  // Few are allowed, and it may be that none of them falls to it.
  return { pairs: found, missing: forward.policy?.allow === undefined ? [...missing] : [] };
}

/** Where the packet goes in truth; the first target where it goes to none, for the judge to say so. */
export function targetOf(
  { network }: Ground,
  forward: ForwardShare,
  flow: Flow,
  expectedOf: (target: ForwardTarget) => Expected,
): ForwardTarget {
  const targets = targetsOf(forward);
  const [first] = targets;
  if (first === undefined) throw new TypeError(`${forward.name} has no target`);
  if (targets.length === 1) return first;
  const { packet, host } = simulate(network, flow).request;
  return (
    targets.find((target) => expectedOf(target).aims.some((aim) => sameAddress(aim, packet.destination))) ??
    // Moved on there by others' rules: a NodePort, a Service.
    targets.find((target) => expectedOf(target).host === host) ??
    first
  );
}

/** Strangers whom the edge would answer as it answers `client`: of other networks, for a /64 of IPv6 is one client. */
function* others(
  { network }: Ground,
  { policy }: ForwardShare,
  like: Client,
  { flowOf, isUsual }: Asking,
): Generator<Client> {
  const { from } = flowOf(like);
  const client = like.address;
  const routes = network.hosts.get(from.host)?.routes;
  if (routes === undefined) return;
  const allowed = policy?.allow;
  const wayOf = (address: Address) => {
    const way = lookupRoute(routes, { destination: address });
    return way.kind === 'route' ? way.link : undefined;
  };
  const own = wayOf(client);
  for (let other = 1n; other < MOST_CLIENTS; other++) {
    const address: Address = { ...client, value: client.value ^ (other << (client.family === 4 ? 0n : 64n)) };
    if (allowed?.some((each) => containsAddress(each, address)) === false) continue;
    if (isUsual(address) && wayOf(address) === own) yield { ...like, address };
  }
}
