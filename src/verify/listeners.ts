/** Whoever listens on a host and was reached before the plan is reached after it: no forward, route or rule of ours takes a port from others. */
import type { CompiledHost } from '../compile/index.ts';
import { isOwnLink } from '../host/index.ts';
import { addressScope, sameAddress } from '../net/index.ts';
import type { LinkAddress } from '../routing/index.ts';
import { type Flow, type Network, portClass, printEnd, printPacket, type Socket, simulate } from '../simulate/index.ts';
import { clientOn, neighbourOn } from './outsider.ts';
import type { Finding, Ground } from './promise.ts';

/** One finding for each socket and address that strangers, or neighbours where the link is private, reach on the network as it stands. */
export function listenerFindings(
  now: Network,
  ground: Ground,
  { name }: CompiledHost,
  sockets: readonly Socket[],
): readonly Finding[] {
  const host = now.hosts.get(name);
  if (host === undefined) return [];
  /** By what tells no two ports apart. */
  const judged = new Map<string, Finding | undefined>();
  return host.state.addresses.flatMap((own): readonly Finding[] => {
    const to = own.address.address;
    if (own.scope !== 'global' || own.link === 'lo' || isOwnLink(own.link)) return [];
    const ports = new Map(
      sockets.filter((socket) => listensAt(socket, own)).map((each) => [`${each.protocol} ${each.port}`, each]),
    );
    const stranger = ground.outsiders[to.family];
    const address = host.openLinks.has(own.link)
      ? clientOn(now, name, own.link, to.family, stranger)
      : neighbourOn(now, name, own.link, to.family, stranger);
    return [...ports.values()].flatMap(({ protocol, port }) => {
      const from = { kind: 'beyond', host: name, link: own.link, address } as const;
      const expected = { from: address, to, protocol, port, aims: [], aimPort: port };
      const classes = [now, ground.network].map((network) => portClass(network, [name], expected));
      const key = classes.includes(undefined)
        ? undefined
        : [own.link, printEnd(to, undefined), protocol, ...classes].join(' ');
      const known = key !== undefined && judged.has(key);
      const finding = known ? judged.get(key) : judge(now, ground, { from, to, port, protocol });
      if (key !== undefined) judged.set(key, finding);
      return finding ?? [];
    });
  });
}

const listensAt = ({ address, families, link }: Socket, own: LinkAddress): boolean =>
  families.includes(own.address.address.family) &&
  (address === undefined
    ? link === undefined || link === own.link
    : addressScope(address) !== 'loopback' && sameAddress(address, own.address.address));

/** Undefined where it was not reached before. */
function judge(now: Network, { network }: Ground, flow: Flow): Finding | undefined {
  const isReached = ({ works, request }: ReturnType<typeof simulate>): boolean =>
    works === true &&
    request.verdict === 'delivered' &&
    request.host === flow.from.host &&
    sameAddress(request.packet.destination, flow.to) &&
    request.packet.destinationPort === flow.port;
  if (!isReached(simulate(now, flow))) return undefined;
  const after = simulate(network, flow, { hops: true });
  if (isReached(after)) return { holds: true };
  const { request, reply, next, works } = after;
  const turned = request.hops.find(({ decidedBy }) => /\bdnat\b|\bredirect\b/.test(decidedBy));
  const what = `${printEnd(flow.to, flow.port)}/${flow.protocol}, where somebody listens on ${flow.from.host}`;
  const isElsewhere = turned !== undefined || request.host !== flow.from.host;
  if (isElsewhere && request.verdict !== 'undecided') {
    const where = `${printPacket(request.packet)}${request.host === undefined ? '' : ` on ${request.host}`}`;
    return {
      holds: false,
      flow,
      reason: `${what}: it would go to ${where}${turned === undefined ? '' : ` by ${turned.decidedBy}`}`,
    };
  }
  const why = (next ?? reply ?? request).reason ?? 'the answer goes elsewhere';
  return { holds: works === 'undecided' ? 'undecided' : false, flow, reason: `${what}: ${why}` };
}
