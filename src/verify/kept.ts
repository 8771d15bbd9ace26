/** What worked before the plan works after it, as far as packets of the hosts themselves tell: nobody is locked out, and nobody's way out is bent. */
import type { Compiled, CompiledHost } from '../compile/index.ts';
import { type HandMade, isOwnLink } from '../host/index.ts';
import {
  type Address,
  addAddress,
  addressScope,
  containsPort,
  type Family,
  printAddress,
  sameAddress,
} from '../net/index.ts';
import { type Flow, hidesRouter, type Network, printEnd, printFlow, simulate, type Trace } from '../simulate/index.ts';
import { listenerFindings } from './listeners.ts';
import { clientOn, neighbourOn } from './outsider.ts';
import { concluded, type Finding, fulfilled, type Ground, type Promised, type Vow } from './promise.ts';
import { standingFindings } from './standing.ts';
import { isStrictCheck } from './strict-check.ts';
import { LIKELY } from './tunnel.ts';
import type { Seen } from './verify.ts';
import { hostVows } from './vows.ts';

/** At most three promises a host; `now` is the network as it stands. Of what did not work before nothing is said. */
export function keptPromises(
  ground: Ground,
  now: Network,
  compiled: Compiled,
  seen?: Seen,
  taken: ReadonlyMap<string, readonly HandMade[]> = new Map(),
): readonly Promised[] {
  const standing = seen === undefined ? new Map() : standingFindings(now, ground, compiled, seen.entries, taken);
  return [...compiled.hosts.values()].flatMap((host) => {
    const promise = (vow: Vow, findings: readonly Finding[]): readonly Promised[] =>
      findings.length === 0 ? [] : [concluded(ground, `Host/${host.name}`, vow, findings)];
    const sockets = seen?.sockets.get(host.name) ?? [];
    return [
      ...promise(hostVows.reached(host.name), [
        ...flowsTo(now, ground, host).flatMap((flow) => stillWorks(now, ground, host.name, flow)),
        ...([4, 6] as const).flatMap((family) => stillLeaves(now, ground, host.name, family)),
      ]),
      ...promise(hostVows.listeners, listenerFindings(now, ground, host, sockets)),
      ...promise(hostVows.connections, standing.get(host.name) ?? []),
    ];
  });
}

/**
 * To a port of each of its addresses that nobody forwards: from strangers or neighbours on its link, from itself, and from the hosts at the
 * other ends of its tunnels. Those not at addresses where forwards aim, which they ask by the tunnel now: of that the tunnels' own promises
 * speak; nor at leased ones, which they do not know for the host's.
 */
function flowsTo(now: Network, { outsiders }: Ground, { name, share }: CompiledHost): readonly Flow[] {
  const host = now.hosts.get(name);
  const port = LIKELY.find((each) => !share.forwards.some(({ ports }) => containsPort(ports, each)));
  if (host === undefined || port === undefined) return [];
  const peers = [...new Set(share.tunnels.map(({ peer }) => peer.host))];
  return host.state.addresses.flatMap(({ link, scope, dynamic, address: { address: to } }): readonly Flow[] => {
    if (scope !== 'global' || link === 'lo' || isOwnLink(link)) return [];
    const stranger = outsiders[to.family];
    const client = host.openLinks.has(link)
      ? clientOn(now, name, link, to.family, stranger)
      : neighbourOn(now, name, link, to.family, stranger);
    const isAim = share.accepts.some(
      ({ address, moveTo = address }) => sameAddress(address, to) || sameAddress(moveTo, to),
    );
    const outer = host.openAddresses.find(({ inner }) => sameAddress(inner, to))?.outer ?? to;
    const asked = { port, protocol: 'tcp' } as const;
    return [
      { from: { kind: 'beyond', host: name, link, address: client }, to, ...asked },
      { from: { kind: 'host', host: name }, to, ...asked },
      ...(isAim || dynamic === true
        ? []
        : peers.map((peer): Flow => ({ from: { kind: 'host', host: peer }, to: outer, ...asked }))),
    ];
  });
}

function stillWorks(now: Network, { network }: Ground, host: string, flow: Flow): readonly Finding[] {
  const before = simulate(now, flow, { hops: true });
  if (before.works !== true || before.request.crossings.some(hidesRouter)) return [];
  const after = simulate(network, flow);
  if (after.works === true) return [fulfilled];
  const why = whyOf(after);
  return isStrictCheck(flow, host, after) ? [] : [{ holds: after.works, flow, reason: `${printAsked(flow)}: ${why}` }];
}

/** Which address a host asks from is its own affair. */
const printAsked = (flow: Flow): string =>
  flow.from.kind === 'beyond'
    ? printFlow(flow)
    : `${flow.from.host} → ${printEnd(flow.to, flow.port)}/${flow.protocol}`;

const whyOf = ({ request, reply, next }: Trace): string =>
  (next ?? reply ?? request).reason ?? request.reason ?? 'the answer goes elsewhere';

/** By the same link and from the same address, where it left the network that is known. */
function stillLeaves(now: Network, { network, outsiders }: Ground, host: string, family: Family): readonly Finding[] {
  const flow: Flow = {
    from: { kind: 'host', host },
    ...{ to: addAddress(outsiders[family], 1n), port: 443, protocol: 'tcp' },
  };
  const before = exitOf(simulate(now, flow));
  if (before === undefined) return [];
  const { request } = simulate(network, flow);
  if (request.verdict === 'undecided') return [{ holds: 'undecided', flow, reason: request.reason ?? '' }];
  const after = exitOf({ request });
  if (after === before) return [fulfilled];
  return [
    {
      holds: false,
      flow,
      reason: `${printAddress(flow.to)}: it left by ${before}, and would ${after === undefined ? `not leave: ${request.reason ?? request.verdict}` : `by ${after}`}`,
    },
  ];
}

function exitOf({ request: { verdict, host, link, packet } }: Pick<Trace, 'request'>): string | undefined {
  const source: Address = packet.source;
  // What leaves with a link-local address is answered by nobody (RFC 4291, 2.5.6).
  return verdict === 'exits' && addressScope(source) !== 'linkLocal'
    ? `${link} of ${host} as ${printAddress(source)}`
    : undefined;
}
