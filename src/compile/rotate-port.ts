/** A UDP port for the second link of a tunnel, where the first one is dialled. */
import type { HostFacts } from '../host/index.ts';

/** Why the host cannot give the port to another link, in half a sentence; undefined where nothing is known against it. */
export function whoHasPort({ record, state }: HostFacts, port: number): string | undefined {
  const shares = [...(record?.sets.values() ?? [])];
  const device = state.devices.find(({ listenPort }) => listenPort === port);
  if (device !== undefined) return `WireGuard link ${device.link} listens there`;
  const tunnel = shares
    .flatMap(({ tunnels }) => tunnels)
    .find((each) => (each.listenPort ?? each.vxlan?.port) === port);
  if (tunnel !== undefined) return `tunnel ${tunnel.name} listens there`;
  const forward = shares
    .flatMap(({ forwards }) => forwards)
    .find(({ protocol, ports }) => protocol === 'udp' && ports.first <= port && port <= ports.last);
  return forward === undefined ? undefined : `PortForward ${forward.name} takes it`;
}

/** The first above the one it listens on, for who opened a range in a firewall; round the end of all ports. */
export function freePort(facts: HostFacts, listens: number, taken: readonly number[]): number | undefined {
  for (let step = 1; step < 65_535 - 1024; step += 1) {
    const port = 1024 + ((listens - 1024 + step + (65_536 - 1024)) % (65_536 - 1024));
    if (!taken.includes(port) && whoHasPort(facts, port) === undefined) return port;
  }
  return undefined;
}
