/** The sockets of a host that wait for clients, from /proc/net: the kernel's own table. */
import type { Address, Family } from '../net/index.ts';
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

/** Their outputs are for readAllSockets. */
export const SOCKET_COMMANDS: readonly (readonly string[])[] = SOCKET_TABLES.map(({ path }) => ['cat', path]);

/**
 * The waiting sockets of all tables; undefined where one of IPv4 could not be read. A kernel without IPv6 has none of it.
 */
export function readAllSockets(outputs: readonly Output[]): readonly Socket[] | undefined {
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
 * say, nor to which link a socket is bound.
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
