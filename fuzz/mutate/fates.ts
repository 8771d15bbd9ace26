/** What becomes of many packets, as text: by which a mutant is known to change a fate, whatever `verify` says of it. */
import { type Address, addAddress, parseAddress, printAddress } from '../../src/net/index.ts';
import { type Flow, type Network, printPacket, simulate, wideSegments } from '../../src/simulate/index.ts';
import type { Planned } from '../../src/verify/index.ts';
import { startRandom } from '../random.ts';

/** Packets of all the parties a promise speaks of: strangers, those just inside and outside of `allow`, neighbours, the hosts themselves. */
export function flowsOf({ set, compiled }: Planned, seed: number): readonly Flow[] {
  const random = startRandom(seed);
  const flows: Flow[] = [];
  for (const host of compiled.hosts.values()) {
    const ports = portsOf([...set.forwards.values()].flatMap(({ ports: all }) => all.map((mapping) => mapping.ports)));
    for (const { inner, link } of host.publicAddresses)
      for (const port of ports)
        for (const protocol of ['tcp', 'udp'] as const) {
          for (const address of clientsFor(
            inner.family,
            [...set.forwards.values()].flatMap(({ allow }) => allow ?? []),
          ))
            flows.push({ from: { kind: 'beyond', host: host.name, link, address }, to: inner, port, protocol });
          for (const other of compiled.hosts.keys())
            flows.push({ from: { kind: 'host', host: other }, to: inner, port, protocol });
        }
    // Out of the tunnels: to whatever the host has, asked as their other end and as a stranger.
    for (const { link, peer } of host.share.tunnels)
      for (const { address } of host.state.addresses)
        for (const source of [...peer.addresses, ...clientsFor(address.address.family, [])])
          if (source.family === address.address.family)
            flows.push({
              from: { kind: 'beyond', host: host.name, link, address: source },
              ...{
                to: address.address,
                port: random.pick([22, 80, 443, 8080, 30_000]),
                protocol: random.pick(['tcp', 'udp'] as const),
              },
            });
  }
  return flows;
}

/** Each, the one before and after, and some in between. */
function portsOf(ranges: readonly { readonly first: number; readonly last: number }[]): readonly number[] {
  const all = ranges.flatMap(({ first, last }) => [first - 1, first, (first + last) >> 1, last, last + 1]);
  return [...new Set([...all, 22, 443])].filter((port) => port > 0 && port < 65_536);
}

function clientsFor(
  family: 4 | 6,
  allow: readonly { readonly address: Address; readonly length: number }[],
): readonly Address[] {
  const strangers = (
    family === 4 ? ['203.0.113.77', '198.51.100.77', '8.8.8.8'] : ['2001:db8:ffff::77', '2001:4860:4860::8888']
  ).flatMap((text) => parseAddress(text) ?? []);
  const edges = allow.flatMap(({ address, length }) => {
    if (address.family !== family || length === 0) return [];
    const size = 1n << BigInt((family === 4 ? 32 : 128) - length);
    return [address, addAddress(address, size - 1n), addAddress(address, size)];
  });
  return [...strangers, ...edges];
}

/** In a line; of a datagram from elsewhere also what becomes of a large one, which nobody may fragment. */
export function fateOf(network: Network, flow: Flow): string {
  const trace = simulate(network, flow);
  const { works, request, reply } = trace;
  const end = ({ verdict, host = '', packet }: NonNullable<typeof reply>): string =>
    `${verdict} ${host} ${verdict === 'delivered' || verdict === 'exits' ? printPacket(packet) : ''}`;
  const wide = wideSegments(network, flow, trace) !== undefined;
  const large = flow.protocol === 'udp' && flow.from.kind === 'beyond' ? largeFate(network, flow) : '';
  return `${works} ${end(request)}${reply === undefined ? '' : `, ${end(reply)}`}${wide ? ', too wide' : ''}${large}`;
}

/** Of 1500 bytes, after its sender was told of what is narrower as often as that is so. How often does not matter, nor what fits in the end. */
function largeFate(network: Network, flow: Flow): string {
  for (let size = 1500; ; ) {
    const { request, notice } = simulate(network, { ...flow, size, df: true }, { hops: true });
    const { verdict, cause } = request;
    if (cause?.kind !== 'tooBig' || cause.mtu >= size) return `, large ${verdict}`;
    const isHeard = notice?.way.verdict === 'delivered' && notice.unheard === undefined;
    if (!isHeard) return ', large ones lost without a word';
    size = cause.mtu;
  }
}

export const printFlowOf = ({ from, to, port, protocol }: Flow): string =>
  `${from.kind === 'beyond' ? `${printAddress(from.address)} by ${from.link}` : 'itself'} of ${from.host} to ${printAddress(to)} port ${port}/${protocol}`;
