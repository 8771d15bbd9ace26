/** What looks like the answer of a stateless target, and is none: nobody on the edge remembers a question. */
import type { CompiledHost } from '../compile/index.ts';
import { isOwnLink, type TunnelShare, targetsOf } from '../host/index.ts';
import { type Address, type PortRange, printAddress, type Transport } from '../net/index.ts';
import type { Flow } from '../simulate/index.ts';
import { neighbourOn } from './outsider.ts';
import type { Ground } from './promise.ts';

/**
 * Packets out of a tunnel that must end on the edge: from a target's ports to the edge itself and to what lies beside it on any link that
 * is not public; to the Internet from the ports beside them, by the other protocol, and from another address behind the tunnel.
 */
export function strayAnswers(
  ground: Ground,
  { name: edge, share }: CompiledHost,
  tunnel: TunnelShare,
): readonly Flow[] {
  const from = targetsBehind(share, tunnel);
  const state = ground.network.hosts.get(edge)?.state;
  if (state === undefined) return [];
  const isPublic = new Set(share.forwards.flatMap(({ publicLinks }) => publicLinks));
  return [...from.values()].flatMap(({ address, protocol, ports, taken }): readonly Flow[] => {
    const { family } = address;
    const outsider = ground.outsiders[family];
    const flow = (source: Address, sourcePort: number, to: Address, by: Transport = protocol): Flow => ({
      from: { kind: 'beyond', host: edge, link: tunnel.link, address: source },
      ...{ to, port: SOME_PORT, protocol: by, sourcePort },
    });
    const own = state.addresses.filter((each) => each.scope === 'global' && each.address.address.family === family);
    const beside = own
      .filter(({ link }) => !isPublic.has(link) && !isOwnLink(link))
      .map(({ link }) => neighbourOn(ground.network, edge, link, family, outsider));
    const inside = [...own.map((each) => each.address.address), ...beside].filter((to) => to !== outsider);
    const others = tunnel.peer.addresses.filter(
      (each) => each.family === family && !taken.has(`${printAddress(each)} ${protocol} ${ports.first}`),
    );
    const other = protocol === 'tcp' ? 'udp' : 'tcp';
    const isTaken = (port: number, by: Transport): boolean => taken.has(`${printAddress(address)} ${by} ${port}`);
    return [
      ...inside.map((to) => flow(address, ports.first, to)),
      ...others.map((source) => flow(source, ports.first, outsider)),
      ...[ports.first - 1, ports.last + 1]
        .filter((port) => port > 0 && port < 65_536 && !isTaken(port, protocol))
        .map((port) => flow(address, port, outsider)),
      ...(isTaken(ports.first, other) ? [] : [flow(address, ports.first, outsider, other)]),
    ];
  });
}

/** Of a client that happens to ask from there. */
const SOME_PORT = 50_000;

interface Behind {
  readonly address: Address;
  readonly protocol: Transport;
  readonly ports: PortRange;
  /** `ADDRESS PROTOCOL PORT` that are stateless targets, as far as they border on one. */
  readonly taken: ReadonlySet<string>;
}

/** One stateless target for each address and protocol behind a tunnel: the sets are the same for all. */
function targetsBehind({ forwards }: CompiledHost['share'], { link }: TunnelShare): ReadonlyMap<string, Behind> {
  const taken = new Set<string>();
  const found = new Map<string, Behind>();
  for (const forward of forwards) {
    if (forward.stateless !== true) continue;
    const { protocol, targetPorts: ports } = forward;
    for (const { to, link: by } of targetsOf(forward)) {
      if (by !== link) continue;
      for (const port of [ports.first, ports.last]) taken.add(`${printAddress(to)} ${protocol} ${port}`);
      found.set(`${printAddress(to)} ${protocol}`, { address: to, protocol, ports, taken });
    }
  }
  return found;
}
