/** What comes by a link with an address that nobody can have there. */
import { type Address, addressScope } from '../net/index.ts';
import { familyOf, printPacket } from './packet.ts';
import type { Passage } from './passage.ts';
import { routesLocalnet } from './setting.ts';
import { type End, end } from './trace.ts';

type Arrived = Passage & { readonly iif: string };

/**
 * Before any rule (ip6_rcv_core): `::1` is nobody's on a link (RFC 4291, 2.5.3), nor does a group send (2.7). Of IPv4 the routes say
 * so, after the rules of prerouting.
 */
export function neverOnLinks6({ host, iif, packet, record }: Arrived): End | undefined {
  if (familyOf(packet) === 4) return undefined;
  const [source, destination] = [addressScope(packet.source), addressScope(packet.destination)];
  const why =
    source === 'loopback' || destination === 'loopback'
      ? '::1 stays inside of a host'
      : source === 'multicast'
        ? 'its source is a multicast address'
        : undefined;
  if (why === undefined) return undefined;
  record(host.name, 'link', () => ({ detail: `dropped: ${why}` }));
  return end('dropped', `${host.name} drops ${printPacket(packet)}, which comes in by ${iif}: ${why}`);
}

/** Of 0.0.0.0/8 the first address alone: the others are as any (Linux 5.3, ipv4_is_zeronet). */
const SOURCES = {
  multicast: 'a multicast address',
  broadcast: 'the broadcast address',
  unspecified: '0.0.0.0',
} as const;
const isSource = (scope: string): scope is keyof typeof SOURCES => scope in SOURCES;

/** What IPv4 has no way for, whatever the routes are (ip_route_input_slow). 127.0.0.0/8 it has where the link may have such. */
export function alien4({ host, iif, packet, record }: Arrived): End | undefined {
  const { source, destination } = packet;
  if (source.family === 6) return undefined;
  const [scope, aim] = [addressScope(source), addressScope(destination)];
  // What has no address yet asks everybody on its link (brd_input).
  if (scope === 'unspecified' && (aim === 'broadcast' || aim === 'unspecified'))
    return end('undecided', `${printPacket(packet)} is for everybody on the link`);
  const never = isSource(scope)
    ? `the source is ${SOURCES[scope]}`
    : aim === 'unspecified'
      ? 'the destination is 0.0.0.0'
      : undefined;
  if (never !== undefined) {
    record(host.name, 'route', () => ({ detail: `a martian: ${never}` }));
    return end('dropped', `${host.name} takes ${printPacket(packet)} by ${iif} for a martian: ${never}`);
  }
  const what = isLoopback4(destination) ? 'destination' : isLoopback4(source) ? 'source' : undefined;
  if (what === undefined) return undefined;
  const { on, text } = routesLocalnet(host, iif);
  if (on === true) return undefined;
  record(host.name, 'route', () => ({ detail: `a martian: the ${what} is an address of lo`, decidedBy: text }));
  return end(
    on === false ? 'dropped' : 'undecided',
    `${host.name} takes ${printPacket(packet)} by ${iif} for a martian: the ${what} is an address of lo (${text})`,
    { kind: 'localnet', host: host.name, link: iif },
  );
}

/** No router passes on what comes from no address, or from one that counts on its link alone (ip6_forward). */
export function staysOnLink6({ host, iif, packet, record }: Arrived): End | undefined {
  if (familyOf(packet) === 4) return undefined;
  const scope = addressScope(packet.source);
  if (scope !== 'linkLocal' && scope !== 'unspecified') return undefined;
  const why = `its source ${scope === 'linkLocal' ? `counts on the link ${iif} alone` : 'is no address'}`;
  record(host.name, 'route', () => ({ detail: `dropped: ${why}` }));
  return end('dropped', `${host.name} does not forward ${printPacket(packet)}: ${why}`);
}

export const isLoopback4 = ({ family, value }: Address): boolean => family === 4 && value >> 24n === 127n;
