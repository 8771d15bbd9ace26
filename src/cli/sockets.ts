/** The sockets of a host that wait for clients: /proc/net, the kernel's own table, and what `ss` tells of them besides. */
import { type Address, type Family, parseAddress } from '../net/index.ts';
import type { Socket } from '../simulate/index.ts';
import type { Output } from '../transport/index.ts';

export interface SocketTable {
  readonly protocol: 'tcp' | 'udp';
  readonly family: Family;
  readonly path: string;
  /** TCP_LISTEN 0A; UDP unconnected is 07 (net/tcp_states.h). */
  readonly state: string;
}

export const SOCKET_TABLES: readonly SocketTable[] = [
  { protocol: 'tcp', family: 4, path: '/proc/self/net/tcp', state: '0A' },
  { protocol: 'tcp', family: 6, path: '/proc/self/net/tcp6', state: '0A' },
  { protocol: 'udp', family: 4, path: '/proc/self/net/udp', state: '07' },
  { protocol: 'udp', family: 6, path: '/proc/self/net/udp6', state: '07' },
];

/** sock_diag for text: links, IPV6_V6ONLY, IP_TRANSPARENT. Without `--inet-sockopt` (iproute2 before 5.11) it is not asked. */
const STATISTICS: readonly string[] = ['ss', '-H', '-l', '-n', '-t', '-u', '-e', '--inet-sockopt'];

/** Their outputs are for readAllSockets. */
export const SOCKET_COMMANDS: readonly (readonly string[])[] = [
  ...SOCKET_TABLES.map(({ path }) => ['cat', path]),
  STATISTICS,
];

/**
 * The waiting sockets of all tables; undefined where one of IPv4 could not be read. A kernel without IPv6 has none of it. What the
 * tables do not say comes from `ss`, where the host has one that can be read.
 */
export function readAllSockets(outputs: readonly Output[]): readonly Socket[] | undefined {
  const listed = readTables(outputs);
  const { status, stdout = '' } = outputs[SOCKET_TABLES.length] ?? {};
  const told = status === 0 ? readStatistics(stdout) : undefined;
  if (listed === undefined || told === undefined) return listed;
  const isTold = ({ protocol, port }: Socket): boolean =>
    told.some((socket) => socket.protocol === protocol && socket.port === port);
  // One that came between the two looks.
  return [...told, ...listed.filter((socket) => !isTold(socket))];
}

function readTables(outputs: readonly Output[]): readonly Socket[] | undefined {
  const tables = SOCKET_TABLES.map((table, index) => {
    const { status, stdout = '' } = outputs[index] ?? {};
    return { table, text: status === 0 && HEAD.test(stdout) ? stdout : undefined };
  });
  if (tables.some(({ table, text }) => table.family === 4 && text === undefined)) return undefined;
  return tables.flatMap(({ table, text = '' }) => readSockets(text, table));
}

const HEAD = /^\s*sl\s/;

/**
 * The waiting sockets of a table. One on `::` is taken to serve IPv4 too: that it asked for IPv6 alone (IPV6_V6ONLY) the table does not
 * say, nor to which link a socket is bound: readStatistics does.
 */
export function readSockets(text: string, { protocol, family, state }: SocketTable): readonly Socket[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line): readonly Socket[] => {
      const [, local = '', , found] = line.trim().split(/\s+/);
      const [hex = '', port = ''] = local.split(':');
      const address = readHex(hex);
      if (found !== state || address === undefined || port === '') return [];
      const socket = { protocol, port: Number.parseInt(port, 16) };
      if (address.value === 0n) return [{ ...socket, families: family === 4 ? [4] : [4, 6] }];
      return [{ ...socket, families: [address.family], address }];
    });
}

/** Words of 32 bits in the host's order, which is little-endian on all that we run on; an IPv4-mapped address is IPv4's. */
function readHex(hex: string): Address | undefined {
  if (!/^(?:[0-9A-F]{8}|[0-9A-F]{32})$/.test(hex)) return undefined;
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.map((word) => (word.match(/../g) ?? []).reverse().join('')).join('');
  const value = BigInt(`0x${bytes}`);
  if (hex.length === 8) return { family: 4, value };
  return value >> 32n === 0xffffn ? { family: 4, value: value & 0xffffffffn } : { family: 6, value };
}

/**
 * The waiting sockets in the output of `ss -Hlntu -e --inet-sockopt`; undefined where a line has another form. `0.0.0.0%lo:53`,
 * `[::]:54`, `*:55` (either family); a line that begins with a space or tab says more of the one before it.
 */
export function readStatistics(text: string): readonly Socket[] | undefined {
  const sockets: Socket[] = [];
  for (const record of text.split(/\n(?=\S)/)) {
    if (record.trim() === '') continue;
    const [protocol, , , , local = ''] = record.split(/\s+/);
    // The link of an IPv6 address stands behind its bracket, or before it.
    const [, plain, bracketed, link, portText] =
      /^(?:([^[\]%:]+)|\[([^\]%]+)\])(?:%([^:]+))?:(\d+)$/.exec(local.replace(/%([^\]]+)\]/, ']%$1')) ?? [];
    const written = bracketed ?? plain ?? '';
    const address = written === '*' ? undefined : parseAddress(written);
    const port = Number(portText);
    if ((protocol !== 'tcp' && protocol !== 'udp') || !(port <= 0xffff)) return undefined;
    if (address === undefined && written !== '*') return undefined;
    const options = /inet-sockopt: \(([^)]*)\)/.exec(record)?.[1]?.split(/\s+/);
    sockets.push({
      ...{ protocol, port },
      ...placeOf(address, /\sv6only:1\b/.test(record)),
      ...(link !== undefined && { link }),
      ...(options !== undefined && { transparent: options.includes('transparent') }),
    });
  }
  return sockets;
}

/** An IPv4-mapped address is IPv4's. */
function placeOf(address: Address | undefined, isOnly6: boolean): Pick<Socket, 'address' | 'families'> {
  if (address === undefined || (address.value === 0n && address.family === 6))
    return { families: isOnly6 ? [6] : [4, 6] };
  if (address.value === 0n) return { families: [4] };
  const isMapped = address.family === 6 && address.value >> 32n === 0xffffn;
  const own: Address = isMapped ? { family: 4, value: address.value & 0xffffffffn } : address;
  return { families: [own.family], address: own };
}
