/** Where a forward listens: addresses and the ports that matter. */
import type { CompiledHost } from '../compile/index.ts';
import type { ForwardShare } from '../host/index.ts';
import { type Address, portCount } from '../net/index.ts';

/** The addresses a forward listens at, as they stand on the edge: the one it names, or those its interface has now. */
export function placesOf(
  { match, to, publicLinks }: ForwardShare,
  edge: CompiledHost,
): readonly { readonly address: Address; readonly link: string }[] {
  const [link] = publicLinks;
  if (!('address' in match)) {
    return edge.publicAddresses
      .filter((open) => open.link === match.interface && open.inner.family === to.family)
      .map(({ inner }) => ({ address: inner, link: match.interface }));
  }
  return link === undefined ? [] : [{ address: match.address, link }];
}

/** The first and the last port with their targets, as what lies between is one interval; a range that is shifted is an element a port. */
export function boundaries({ ports, targetPorts }: ForwardShare): readonly (readonly [number, number])[] {
  const shift = targetPorts.first - ports.first;
  const wanted =
    shift === 0
      ? [...new Set([ports.first, ports.last])]
      : Array.from({ length: portCount(ports) }, (_, at) => ports.first + at);
  return wanted.map((port) => [port, port + shift]);
}

/** More ports of one range are not asked one by one. */
const MOST_PORTS = 256;

/** The same, and those between at which something on the way begins to make a difference; `isCut`: not all of them. */
export function portsOf(
  forward: ForwardShare,
  cuts: readonly number[],
): { readonly ports: readonly (readonly [number, number])[]; readonly isCut: boolean } {
  const { first, last } = forward.ports;
  const ends = boundaries(forward);
  const shift = forward.targetPorts.first - first;
  if (shift !== 0 || first === last) return { ports: ends, isCut: false };
  const between = cuts.slice(firstAbove(cuts, first), firstAbove(cuts, last - 1));
  return {
    ports: [...ends, ...between.slice(0, MOST_PORTS).map((port) => [port, port] as const)],
    isCut: between.length > MOST_PORTS,
  };
}

/** The index of the first that is larger. */
export function firstAbove(sorted: readonly number[], value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
