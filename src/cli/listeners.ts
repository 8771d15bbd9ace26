/** What listens on a host, from /proc/net: the kernel's own table, where `ss` prints for people. */
import type { Transport as Protocol } from '../net/index.ts';
import type { Transport } from '../transport/index.ts';

export interface Listener {
  readonly protocol: Protocol;
  readonly port: number;
}

/** Sources, and the socket state that means waiting for clients: TCP_LISTEN 0A; UDP unconnected is 07 (net/tcp_states.h). */
const tables = [
  ['tcp', '/proc/self/net/tcp', '0A'],
  ['tcp', '/proc/self/net/tcp6', '0A'],
  ['udp', '/proc/self/net/udp', '07'],
  ['udp', '/proc/self/net/udp6', '07'],
] as const;

/** Ports on which others can reach the host: those bound to loopback are left out. Sorted, each once. */
export async function findListeners(transport: Transport, signal: AbortSignal): Promise<readonly Listener[]> {
  const outputs = await transport.runAll(
    tables.map(([, path]) => ({ argv: ['cat', path] })),
    signal,
  );
  const found = new Map<string, Listener>();
  for (const [index, [protocol, , state]] of tables.entries()) {
    for (const port of readPorts(outputs[index]?.stdout ?? '', state))
      found.set(`${protocol} ${port}`, { protocol, port });
  }
  return [...found.values()].sort((a, b) =>
    a.protocol < b.protocol ? -1 : a.protocol > b.protocol ? 1 : a.port - b.port,
  );
}

/** Local ports of a /proc/net table whose sockets are in `state` and not bound to loopback (127.0.0.0/8, ::1, its IPv4-mapped kin). */
export function readPorts(table: string, state: string): readonly number[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', , found] = line.trim().split(/\s+/);
      const [address = '', port = ''] = local.split(':');
      // Words of 32 bits in host order: 127.0.0.1 is 0100007F on little-endian machines, 7F000001 on others.
      const loopback = /7F$|^7F/.test(address.slice(-8))
        ? address.length === 8 || isMapped(address)
        : isIpv6Loopback(address);
      return found === state && !loopback && port !== '' ? [Number.parseInt(port, 16)] : [];
    });
}

const isMapped = (address: string): boolean => /^0{16}(FFFF0000|0000FFFF)/.test(address);
const isIpv6Loopback = (address: string): boolean => /^0{24}(01000000|00000001)$/.test(address);
