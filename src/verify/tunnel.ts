/** What a Tunnel promises: its packets are let in, it is no side door, and one client may come through two of them at once. */
import type { Compiled, CompiledHost } from '../compile/index.ts';
import { type AcceptShare, isOwnLink, type TunnelShare } from '../host/index.ts';
import {
  type Address,
  containsPort,
  type Family,
  isAddress,
  printAddress,
  sameAddress,
  type Transport,
} from '../net/index.ts';
import type { ResourceSet, TunnelResource } from '../resources/index.ts';
import { type Connections, type Flow, type Network, printPacket, simulate } from '../simulate/index.ts';
import { clientOn, neighbourOn } from './outsider.ts';
import { concluded, type Finding, fulfilled, type Ground, type Promised } from './promise.ts';
import { strayAnswers } from './stateless.ts';
import { tunnelVows as vows } from './vows.ts';

/** The promises of every tunnel of the set. */
export const tunnelPromises = (ground: Ground, set: ResourceSet, compiled: Compiled): readonly Promised[] =>
  [...set.tunnels.values()].flatMap((tunnel) => [
    ...letInPromises(ground, tunnel, compiled),
    ...tunnel.ends.flatMap(({ host }) => {
      const end = compiled.hosts.get(host);
      const share = end?.share.tunnels.find(({ name }) => name === tunnel.name);
      if (end === undefined || share === undefined) return [];
      return [
        ...notIntoPromises(ground, end, share, compiled),
        ...notOutOfPromises(ground, end, share, compiled.hosts.get(share.peer.host)),
        ...togetherPromises(ground, end, share, compiled),
      ];
    }),
  ]);

// ---- the outer packets

/** Of each end that can be found: whether the packets of the tunnel itself get in there. */
interface LetIn {
  readonly host: string;
  readonly what: string;
  readonly finding: Finding;
}

const letInPromises = (ground: Ground, tunnel: TunnelResource, compiled: Compiled): readonly Promised[] =>
  lettingIn(ground, tunnel, compiled).map(({ host, what, finding }) =>
    concluded(ground, `Tunnel/${tunnel.name}`, vows.letIn(host, what), [finding]),
  );

/** Why a host stops the packets of a tunnel itself, or may; as `TUNNEL HOST`. */
export const stoppedPackets = (ground: Ground, set: ResourceSet, compiled: Compiled): ReadonlyMap<string, string> =>
  new Map(
    [...set.tunnels.values()].flatMap((tunnel) =>
      lettingIn(ground, tunnel, compiled).flatMap(({ host, finding: { holds, reason } }) =>
        holds === true || reason === undefined ? [] : [[`${tunnel.name} ${host}`, reason] as const],
      ),
    ),
  );

/** The end that the other one dials must let it in; where both may dial, an answer is let in as one. */
function lettingIn(ground: Ground, tunnel: TunnelResource, compiled: Compiled): readonly LetIn[] {
  if (tunnel.type === 'Direct') return [];
  return tunnel.ends.flatMap(({ host, endpoint, listenPort }, index) => {
    const open = compiled.hosts
      .get(host)
      ?.publicAddresses.find(
        ({ outer }) => endpoint !== undefined && isAddress(endpoint.host) && sameAddress(outer, endpoint.host),
      );
    const asked = outerPackets(tunnel, listenPort ?? endpoint?.port);
    if (open === undefined) return [];
    const far = tunnel.ends[1 - index]?.endpoint;
    const known =
      far !== undefined && isAddress(far.host) && far.host.family === open.inner.family ? far.host : undefined;
    const address = known ?? ground.outsiders[open.inner.family];
    const from = { kind: 'beyond', host, link: open.link, address } as const;
    return asked.map((each) => {
      const flow: Flow = { from, to: open.inner, ...each };
      const { request } = simulate(ground.network, flow);
      const isDialled = far === undefined || tunnel.type !== 'WireGuard';
      const isLetIn = request.verdict === 'delivered' && request.host === host;
      const isStopped = request.verdict === 'dropped' || request.verdict === 'rejected';
      // From where the far end dials is not known: a firewall that asks who comes may know it.
      const isSure = known !== undefined || !asksWho(ground.network, host);
      const reason = request.reason ?? `${printPacket(request.packet)} is delivered elsewhere`;
      const finding: Finding = isLetIn
        ? fulfilled
        : { holds: isStopped && isDialled && isSure ? false : 'undecided', flow, reason };
      const what = each.port === 0 ? `of protocol ${each.protocol}` : `at ${each.protocol}/${each.port}`;
      return { host, what, finding };
    });
  });
}

/** What the packets of a tunnel are outside: UDP to a port, or packets in packets, of one kind for each family inside (RFC 2003, 4213, 2784). */
function outerPackets(
  { type, families }: TunnelResource,
  port: number | undefined,
): readonly Pick<Flow, 'protocol' | 'port'>[] {
  if (type === 'GRE') return [{ protocol: 'gre', port: 0 }];
  if (type === 'IPIP') return families.map((family) => ({ protocol: family === 4 ? 'ipip' : 'sit', port: 0 }));
  return port === undefined ? [] : [{ protocol: 'udp', port }];
}

/** Whether a rule of others asks for the source address. */
function asksWho({ hosts }: Network, name: string): boolean {
  const tables = hosts.get(name)?.state.tables.filter(({ name: table }) => table !== 'sallyport') ?? [];
  return tables.some(({ chains }) =>
    chains.some(({ rules }) => rules.some(({ statements }) => statements.some((each) => mentions(each, 'saddr')))),
  );
}

/** Walks plain data, modelled statements and the JSON of opaque ones alike. */
const mentions = (data: unknown, word: string): boolean =>
  data === word ||
  (typeof data === 'object' && data !== null && Object.values(data).some((value: unknown) => mentions(value, word)));

// ---- no side door

/** Nobody beside the edge comes into the tunnel by sending straight to what lies behind it. */
function notIntoPromises(
  ground: Ground,
  end: CompiledHost,
  share: TunnelShare,
  compiled: Compiled,
): readonly Promised[] {
  const far = compiled.hosts.get(share.peer.host);
  if (share.routes.length === 0 || far === undefined || !isOwnLink(share.link)) return [];
  const links = [
    ...new Map(
      end.publicAddresses.map(({ link, inner }) => [`${link} ${inner.family}`, { link, family: inner.family }]),
    ).values(),
  ];
  const wanted = share.routes.flatMap(({ address }) => samplesOf(far.share.accepts, share.name, address));
  const findings = links.flatMap(({ link, family }) =>
    wanted
      .filter(({ address }) => address.family === family)
      .map(({ address, protocol, port }): Finding => {
        const source = neighbourOn(ground.network, end.name, link, family, ground.outsiders[family]);
        const flow: Flow = {
          from: { kind: 'beyond', host: end.name, link, address: source },
          to: address,
          port,
          protocol,
        };
        return shutFinding(ground, flow, (host) => host === far.name);
      }),
  );
  if (findings.length === 0) return [];
  return [concluded(ground, `Tunnel/${share.name}`, vows.notInto(end.name), findings)];
}

/** For each protocol one port that the node would take: the one it would not take is dropped twice. */
function samplesOf(accepts: readonly AcceptShare[], tunnel: string, address: Address): readonly Sample[] {
  const found = new Map<Transport, Sample>();
  for (const accept of accepts)
    if (accept.tunnel === tunnel && sameAddress(accept.address, address) && !found.has(accept.protocol))
      found.set(accept.protocol, { address, protocol: accept.protocol, port: accept.ports.first });
  return [...found.values()];
}

interface Sample {
  readonly address: Address;
  readonly protocol: Transport;
  readonly port: number;
}

/** Out of the tunnel comes only what was declared: not to other ports, nor to other addresses of the node, nor through it to its neighbours. */
function notOutOfPromises(
  ground: Ground,
  end: CompiledHost,
  share: TunnelShare,
  far: CompiledHost | undefined,
): readonly Promised[] {
  if (!isOwnLink(share.link)) return [];
  const findings = share.peer.addresses.flatMap((peer) => {
    const { family } = peer;
    // Strangers where they come by it, and always the far end, by its own address and by the public ones it is known by.
    const known = far?.publicAddresses.flatMap(({ inner }) => (inner.family === family ? [inner] : [])) ?? [];
    const sources = [...(share.returns.includes(family) ? [ground.outsiders[family]] : []), peer, ...known.slice(0, 1)];
    return undeclared(ground, end, share, family).flatMap(({ address, protocol, port }) =>
      sources.map((source): Finding => {
        const from = { kind: 'beyond', host: end.name, link: share.link, address: source } as const;
        return shutFinding(ground, { from, to: address, port, protocol }, () => true);
      }),
    );
  });
  const untracked = strayAnswers(ground, end, share).map((flow) => shutFinding(ground, flow, () => true));
  return [concluded(ground, `Tunnel/${share.name}`, vows.notOutOf(end.name), [...findings, ...untracked])];
}

/** A port that nobody declared at each address of the host and each aim, and a neighbour behind the host. Other tunnels ask for their own addresses. */
function undeclared(
  ground: Ground,
  { name, share }: CompiledHost,
  tunnel: TunnelShare,
  family: Family,
): readonly Sample[] {
  const host = ground.network.hosts.get(name);
  const others = host?.state.addresses.filter(({ link, scope }) => scope === 'global' && !isOwnLink(link)) ?? [];
  const own = [...others.map(({ address }) => address.address), ...tunnel.addresses.map(({ address }) => address)];
  const behind = host?.state.routes.flatMap(({ gateway }) => gateway ?? []) ?? [];
  const all = [...own, ...share.accepts.map(({ address }) => address), ...behind].filter(
    (each) => each.family === family,
  );
  const addresses = new Map(all.map((address) => [printAddress(address), address]));
  return [...addresses.values()].flatMap((address) =>
    (['tcp', 'udp'] as const).flatMap((protocol) => {
      const taken = share.accepts.filter(
        (accept) => accept.protocol === protocol && sameAddress(accept.address, address),
      );
      const port = LIKELY.find((each) => !taken.some(({ ports }) => containsPort(ports, each)));
      return port === undefined ? [] : [{ address, protocol, port }];
    }),
  );
}

/** What a stranger would like to reach; the first that nobody forwards. */
export const LIKELY = [22, 80, 443, 6443, 10_250, 3306, 5432, 1, 2, 3, 4, 5, 6, 7];

/** Holds where the request ends before it is delivered to a host that counts, or leaves the known network by one. */
function shutFinding(ground: Ground, flow: Flow, counts: (host: string) => boolean): Finding {
  const { request } = simulate(ground.network, flow);
  const { verdict, host, packet, reason } = request;
  if (verdict === 'undecided') return { holds: 'undecided', flow, ...(reason !== undefined && { reason }) };
  const isThrough = (verdict === 'delivered' || verdict === 'exits') && host !== undefined && counts(host);
  if (!isThrough) return fulfilled;
  return {
    holds: false,
    flow,
    reason: `${printPacket(packet)} is let through to ${verdict === 'delivered' ? host : `the neighbours of ${host}`}`,
  };
}

// ---- several tunnels at one node

/** The same client with the same source port by every edge at once: each is answered by the edge it asked (dataplane.md, section 5). */
function togetherPromises(
  ground: Ground,
  end: CompiledHost,
  share: TunnelShare,
  compiled: Compiled,
): readonly Promised[] {
  const others = end.share.tunnels.filter(({ name, returns }) => name !== share.name && returns.length > 0);
  if (share.returns.length === 0 || others.length === 0) return [];
  const findings = share.returns.flatMap((family) =>
    (['tcp', 'udp'] as const).flatMap((protocol) => {
      const own = entriesBy(ground, compiled, end, share.name, family, protocol)[0];
      if (own === undefined) return [];
      const before = others.flatMap(({ name }) => entriesBy(ground, compiled, end, name, family, protocol).slice(0, 1));
      if (before.length === 0) return [];
      const connections: Connections = new Map();
      for (const flow of before) simulate(ground.network, flow, { connections });
      const alone = simulate(ground.network, own);
      const { works, reply, request, next } = simulate(ground.network, own, { connections });
      // What fails by itself is said by its forward.
      if (alone.works !== true || works === true) return [fulfilled];
      const reason = (next ?? reply ?? request).reason ?? 'the answer goes to another';
      return [{ holds: works, flow: own, after: before, reason }];
    }),
  );
  if (findings.length === 0) return [];
  return [concluded(ground, `Tunnel/${share.name}`, vows.together(end.name), findings)];
}

/** Flows from outside that come to the node by a tunnel. */
function entriesBy(
  ground: Ground,
  compiled: Compiled,
  node: CompiledHost,
  tunnel: string,
  family: Family,
  protocol: Transport,
): readonly Flow[] {
  const taken = node.share.accepts.find(
    (accept) => accept.tunnel === tunnel && accept.address.family === family && accept.protocol === protocol,
  );
  const edge = node.share.tunnels.find(({ name }) => name === tunnel)?.peer.host;
  const at = edge === undefined ? undefined : compiled.hosts.get(edge);
  const forward = at?.share.forwards.find(
    (each) =>
      taken !== undefined &&
      each.name === taken.name &&
      each.protocol === protocol &&
      sameAddress(each.to, taken.address),
  );
  const open = at?.publicAddresses.find(
    ({ inner, link }) =>
      forward !== undefined &&
      ('address' in forward.match
        ? sameAddress(forward.match.address, inner)
        : forward.match.interface === link && inner.family === family),
  );
  if (at === undefined || forward === undefined || open === undefined) return [];
  const client = clientOn(ground.network, at.name, open.link, family, ground.outsiders[family]);
  const from = { kind: 'beyond', host: at.name, link: open.link, address: client } as const;
  return [{ from, to: open.inner, port: forward.ports.first, protocol }];
}
