/** What listens on a host for others. */
import { addressScope, type Transport as Protocol } from '../net/index.ts';
import type { Socket } from '../simulate/index.ts';
import type { Transport } from '../transport/index.ts';
import { readAllSockets, SOCKET_COMMANDS } from './sockets.ts';

export interface Listener {
  readonly protocol: Protocol;
  readonly port: number;
}

/** Ports on which others can reach the host; none where its sockets cannot be read. */
export async function findListeners(transport: Transport, signal: AbortSignal): Promise<readonly Listener[]> {
  const outputs = await transport.runAll(
    SOCKET_COMMANDS.map((argv) => ({ argv })),
    signal,
  );
  return listenersIn(readAllSockets(outputs) ?? []);
}

/** Those bound to loopback are left out. Sorted, each once. */
export function listenersIn(sockets: readonly Socket[]): readonly Listener[] {
  const found = new Map<string, Listener>();
  for (const { protocol, port, address } of sockets)
    if (address === undefined || addressScope(address) !== 'loopback')
      found.set(`${protocol} ${port}`, { protocol, port });
  return [...found.values()].sort((a, b) =>
    a.protocol < b.protocol ? -1 : a.protocol > b.protocol ? 1 : a.port - b.port,
  );
}
