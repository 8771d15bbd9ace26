import {
  type Address,
  type Family,
  type PortRange,
  printAddress,
  printPortRange,
  type Transport,
} from '../net/index.ts';
import { type Problem, printPosition } from './problem.ts';
import type { HostResource, PortForwardResource, TunnelResource } from './resource.ts';
import type { ProblemMaker } from './validate.ts';

/** What one line of a forward takes on one host, for one family. */
interface Claim {
  readonly forward: PortForwardResource;
  readonly problem: ProblemMaker;
  readonly protocol: Transport;
  readonly ports: PortRange;
  /** The line among all lines of all forwards, in the order they were read. */
  readonly line: number;
  readonly path: string;
  /** Printed, the inner one; undefined stands for all public addresses of the host. */
  readonly address: string | undefined;
}

export interface PlacedForward {
  readonly forward: PortForwardResource;
  readonly problem: ProblemMaker;
}

/** Two forwards that take the same port of the same address, and forwards that take a reserved port. */
export function checkClaims(
  forwards: readonly PlacedForward[],
  hosts: ReadonlyMap<string, HostResource>,
  tunnels: Iterable<TunnelResource>,
): readonly Problem[] {
  const problems: Problem[] = [];
  const reserved = reservedPorts(hosts.values(), tunnels);
  for (const [host, claims] of claimsByHost(forwards, hosts)) {
    // Two lines that meet for both families are said once.
    const said = new Set<string>();
    for (const group of claims.values()) overlaps(host, group, said, problems);
  }
  for (const { forward, problem } of forwards) {
    for (const [index, { protocol, ports }] of forward.ports.entries()) {
      for (const host of forward.atHosts) {
        for (const { port, access, why } of reserved.get(host)?.[protocol] ?? []) {
          if (port < ports.first || port > ports.last || (access && forward.allowAccessPort)) continue;
          problems.push(
            problem('reservedPort', `spec.ports[${index}].port`, `takes ${protocol.toUpperCase()} ${port}, ${why}`),
          );
        }
      }
    }
  }
  return problems;
}

interface Reserved {
  readonly port: number;
  readonly access: boolean;
  readonly why: string;
}

/** The port by which a host is reached, and those on which its tunnels listen. */
function reservedPorts(
  hosts: Iterable<HostResource>,
  tunnels: Iterable<TunnelResource>,
): ReadonlyMap<string, Readonly<Record<Transport, readonly Reserved[]>>> {
  const reserved = new Map<string, { readonly tcp: readonly Reserved[]; readonly udp: Reserved[] }>();
  for (const { name, access } of hosts) {
    const port = access.kind === 'ssh' || access.kind === 'agent' ? access.port : 22;
    const why = `the access port of ${name}; allowAccessPort: true lets it`;
    reserved.set(name, { tcp: [{ port, access: true, why }], udp: [] });
  }
  for (const tunnel of tunnels) {
    for (const { host, listenPort } of tunnel.ends) {
      const udp = reserved.get(host)?.udp;
      // Many tunnels share one port.
      if (listenPort === undefined || udp === undefined || udp.some(({ port }) => port === listenPort)) continue;
      udp.push({ port: listenPort, access: false, why: `on which Tunnel ${tunnel.name} listens at ${host}` });
    }
  }
  return reserved;
}

/** Claims that can meet stand together: by host, then by family and protocol. */
function claimsByHost(
  forwards: readonly PlacedForward[],
  hosts: ReadonlyMap<string, HostResource>,
): ReadonlyMap<string, ReadonlyMap<string, readonly Claim[]>> {
  const found = new Map<string, Map<string, Claim[]>>();
  const inner = new Map([...hosts].map(([name, host]) => [name, innerAddresses(host)]));
  let line = 0;
  for (const { forward, problem } of forwards) {
    for (const [index, { protocol, ports }] of forward.ports.entries()) {
      line++;
      const add = (host: string, family: Family, address: string | undefined): void => {
        const groups = found.get(host) ?? new Map<string, Claim[]>();
        const key = `${family} ${protocol}`;
        const group = groups.get(key) ?? [];
        group.push({ forward, problem, protocol, ports, line, path: `spec.ports[${index}].port`, address });
        groups.set(key, group);
        found.set(host, groups);
      };
      for (const host of forward.atHosts) {
        if (forward.atAddresses === undefined) for (const family of forward.families) add(host, family, undefined);
        for (const address of forward.atAddresses ?? []) {
          const printed = printAddress(address);
          add(host, address.family, inner.get(host)?.get(printed) ?? printed);
        }
      }
    }
  }
  return found;
}

/** From the outside address to the inner, and for a private one to a word that marks it: "all public addresses" are without it. */
function innerAddresses({ interfaces }: HostResource): ReadonlyMap<string, string> {
  const inner = new Map<string, string>();
  for (const { zone, addresses = [], outside } of interfaces) {
    for (const one of outside) inner.set(printAddress(one.outer), printAddress(one.inner));
    if (zone !== 'private') continue;
    for (const { address } of addresses) inner.set(printAddress(address), privately(address));
  }
  return inner;
}

const PRIVATE = 'private ';
const privately = (address: Address): string => `${PRIVATE}${printAddress(address)}`;

/**
 * Adds each claim that meets an earlier one, in one sweep over the ports: for each address, and for the claims of all public
 * addresses, the one that reaches furthest so far is kept. Who overlaps any overlaps one of those.
 */
function overlaps(host: string, claims: readonly Claim[], said: Set<string>, problems: Problem[]): void {
  const furthest = new Map<string | undefined, Claim>();
  let furthestPublic: Claim | undefined;
  const sorted = [...claims].sort((left, right) => left.ports.first - right.ports.first || left.line - right.line);
  for (const claim of sorted) {
    const isPrivate = claim.address?.startsWith(PRIVATE) ?? false;
    const meets =
      claim.address === undefined
        ? [furthestPublic]
        : [furthest.get(claim.address), isPrivate ? undefined : furthest.get(undefined)];
    for (const other of meets) {
      if (other === undefined || other.ports.last < claim.ports.first) continue;
      const [first, second] = other.line <= claim.line ? [other, claim] : [claim, other];
      const pair = `${first.line} ${second.line}`;
      if (!said.has(pair)) problems.push(twice(host, first, second));
      said.add(pair);
    }
    const before = furthest.get(claim.address);
    if (before === undefined || before.ports.last < claim.ports.last) furthest.set(claim.address, claim);
    if (isPrivate || (furthestPublic !== undefined && furthestPublic.ports.last >= claim.ports.last)) continue;
    furthestPublic = claim;
  }
}

function twice(host: string, first: Claim, second: Claim): Problem {
  const ports = printPortRange({
    first: Math.max(first.ports.first, second.ports.first),
    last: Math.min(first.ports.last, second.ports.last),
  });
  const address = (second.address ?? first.address)?.replace(PRIVATE, '');
  const where = address === undefined ? host : `${address} of ${host}`;
  const place = printPosition(first.forward.positionOf(first.path));
  const what = `${second.protocol.toUpperCase()} ${ports} at ${where} is already claimed by PortForward ${first.forward.name} (${place})`;
  return second.problem('claimedTwice', second.path, what);
}
