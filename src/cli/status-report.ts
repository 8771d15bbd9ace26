/** Whether the hosts hold what the documents say and the paths are up, as `status -o json` gives it. Pure. */
import type { CompiledHost } from '../compile/index.ts';
import type { ForwardShare, HostFacts, PendingChange, TunnelShare } from '../host/index.ts';
import { type Address, printAddress, sameAddress } from '../net/index.ts';
import { type HostChange, planHost } from '../plan/index.ts';
import type { PortForwardResource, ResourceSet, Target, TunnelResource } from '../resources/index.ts';
import { isPendingKey, sameKey, tunnelUp, type WireGuardPeer } from '../wireguard/index.ts';
import { causeOf, type SettingLine } from './causes.ts';
import { type DriftByHost, reportSuspects, type SuspectReport, whoOf } from './drift/report.ts';
import { type ChangeReport, reportChange } from './plan-report.ts';
import { evidence, type SilentEnd, whatToLookAt } from './silence.ts';

export interface StatusReport {
  readonly hosts: readonly HostStatus[];
  readonly resources: readonly ResourceStatus[];
}

export interface HostStatus {
  readonly host: string;
  readonly reachable: boolean;
  readonly inSync: boolean;
  /** Which change of what is asked of the host stands there; absent where nothing does, or it was never counted. */
  readonly generation?: number;
  /** The sets that the host holds something of, by its record. */
  readonly sets: readonly string[];
  /** A change that the host takes back unless it is confirmed; where there is one. */
  readonly pending?: PendingChange;
  /** What apply would change; empty when in sync. */
  readonly drift: readonly Drift[];
  /** What changed there since our last apply, and who it looks like. */
  readonly suspects: readonly SuspectReport[];
  readonly tunnels: readonly TunnelStatus[];
}

/** What apply would change; of a setting, the line of a file that sets it so. */
export interface Drift extends ChangeReport {
  readonly cause?: string;
}

export interface TunnelStatus {
  readonly name: string;
  readonly up: boolean;
  /** WireGuard alone, by the host's own clock; null where there was no handshake yet. */
  readonly lastHandshakeSeconds: number | null;
  /** Since this end's key was made, by the host's own clock; null where it has none. */
  readonly keyAgeSeconds: number | null;
}

export interface ResourceStatus {
  readonly kind: 'Host' | 'Tunnel' | 'PortForward';
  readonly name: string;
  readonly ready: boolean;
  /** Why it is not ready; null when it is. */
  readonly reason: string | null;
  /** A tunnel that packets do not come through: what may stop them, the likeliest first. */
  readonly lookAt?: readonly string[];
  readonly addresses: readonly string[];
  readonly targets: readonly { readonly name: string; readonly healthy: boolean }[];
}

export interface StatusInput {
  readonly set: ResourceSet;
  readonly facts: ReadonlyMap<string, HostFacts>;
  readonly unreachable: ReadonlyMap<string, string>;
  /** What the documents ask; where a host did not answer, what its neighbours' records say. */
  readonly wanted: ReadonlyMap<string, CompiledHost>;
  readonly setName: string;
  /** Peers that their neighbour table calls FAILED, as `host address`. */
  readonly silent: ReadonlySet<string>;
  /** Ends that hear nothing of what the other one sends, as `HOST TUNNEL`. */
  readonly deaf?: ReadonlySet<string>;
  /** What somebody changed since our last apply. */
  readonly changed?: DriftByHost;
  /** The rule by which a host stops the packets of a tunnel itself, as `TUNNEL HOST`. */
  readonly stopped?: ReadonlyMap<string, string>;
  /** Seconds since the epoch. */
  readonly now: number;
}

interface End extends TunnelStatus {
  readonly reason: string | null;
  /** The link stands, and nothing comes through it. */
  readonly isSilent?: boolean;
}

/** The whole report, hosts and resources in the order of the documents. */
export function reportStatus(input: StatusInput): StatusReport {
  const hosts = [...input.set.hosts.keys()].map((host) => statusOfHost(input, host));
  const ends = new Map<string, End>();
  for (const host of input.set.hosts.keys()) {
    for (const tunnel of tunnelsOf(input, host)) ends.set(`${host} ${tunnel.name}`, endStatus(input, host, tunnel));
  }
  const placed = placedForwards(input);
  const resources: readonly ResourceStatus[] = [
    ...hosts.map((host) => hostReady(input, host)),
    ...[...input.set.tunnels.values()].map((tunnel) => tunnelReady(input, ends, tunnel)),
    ...[...input.set.forwards.values()].map((forward) => forwardReady(input, { hosts, ends, placed }, forward)),
  ];
  return { hosts, resources };
}

/** Whether every host is in sync and every resource ready. */
export const allWell = ({ hosts, resources }: StatusReport): boolean =>
  hosts.every(({ inSync }) => inSync) && resources.every(({ ready }) => ready);

function statusOfHost(input: StatusInput, host: string): HostStatus {
  const facts = input.facts.get(host);
  const wanted = input.wanted.get(host);
  if (facts === undefined || wanted === undefined || input.unreachable.has(host)) {
    return { host, reachable: false, inSync: false, sets: [], drift: [], suspects: [], tunnels: [] };
  }
  // Without its record nobody knows what is to stand there.
  const damaged = facts.recordProblem !== undefined;
  const drift: readonly HostChange[] = damaged ? [] : planHost(facts, wanted);
  const generation = facts.record?.generation;
  const { groups, settings } = input.changed?.get(host) ?? { groups: [], settings: [] };
  const who = whoOf(groups);
  const tunnels = tunnelsOf(input, host).map((tunnel) => {
    const { reason: _, isSilent: __, ...status } = endStatus(input, host, tunnel);
    return status;
  });
  return {
    host,
    reachable: true,
    inSync: drift.length === 0 && !damaged,
    ...(generation !== undefined && { generation }),
    sets: [...(facts.record?.sets.keys() ?? [])].sort(),
    ...(facts.pending !== undefined && { pending: facts.pending }),
    drift: drift.map((change) => withCause(change, who(change), settings)),
    suspects: reportSuspects(groups),
    tunnels,
  };
}

function withCause(change: HostChange, who: string | null | undefined, lines: readonly SettingLine[]): Drift {
  const report = reportChange(change, who);
  if (change.action !== 'change' || change.before.kind !== 'sysctl') return report;
  const cause = causeOf(change.before.path, change.before.value, lines);
  return cause === undefined ? report : { ...report, cause };
}

/** The tunnels of the set that the host should have, or has by its record. */
const tunnelsOf = ({ wanted, setName }: StatusInput, host: string): readonly TunnelShare[] =>
  wanted.get(host)?.record?.sets.get(setName)?.tunnels ?? [];

function endStatus(input: StatusInput, host: string, tunnel: TunnelShare): End {
  const { facts, silent, deaf, unreachable } = input;
  // The host wrote down by its own clock when it shook hands.
  const now = input.now + (facts.get(host)?.clockAheadSeconds ?? 0);
  const { name, link: linkName, peer } = tunnel;
  const state = facts.get(host)?.state;
  const made = tunnel.type === 'WireGuard' ? facts.get(host)?.keysMade?.get(linkName) : undefined;
  const end = (reason: string | null, lastHandshakeSeconds: number | null = null): End => ({
    name,
    up: reason === null,
    lastHandshakeSeconds,
    keyAgeSeconds: made === undefined ? null : Math.max(0, Math.floor(now - made)),
    reason,
  });
  if (unreachable.has(host)) return end(`${host} is unreachable`);
  const link = state?.links.find((each) => each.name === linkName);
  if (link === undefined) return end(`${host}: there is no link ${linkName}`);
  if (!link.up || link.carrier === false) return end(`${host}: ${linkName} is down`);
  if (tunnel.type !== 'WireGuard') {
    const failed = peer.addresses.find((address) => silent.has(`${host} ${printAddress(address)}`));
    if (deaf?.has(`${host} ${name}`) === true)
      return { ...end(`${host}: nothing that ${peer.host} sends arrives on ${linkName}`), isSilent: true };
    if (failed === undefined) return end(null);
    return { ...end(`${host}: ${printAddress(failed)} does not answer on ${linkName}`), isSilent: true };
  }
  const { publicKey } = peer;
  if (publicKey === undefined || isPendingKey(publicKey))
    return end(`${host}: the key of ${peer.host} is not known yet`);
  const known = peerOf(state, tunnel);
  if (known === undefined) return end(`${host}: ${peer.host} is no peer on ${linkName}`);
  if (known.latestHandshake === undefined)
    return { ...end(`${host}: no handshake yet with ${peer.host}${evidence(known)}`), isSilent: true };
  const age = Math.max(0, Math.floor(now - known.latestHandshake));
  if (tunnelUp(known, now)) return end(null, age);
  return { ...end(`${host}: the last handshake with ${peer.host} was ${age} s ago`, age), isSilent: true };
}

/** The other end as the host's WireGuard knows it. */
function peerOf(state: HostFacts['state'] | undefined, { link, peer }: TunnelShare): WireGuardPeer | undefined {
  const { publicKey } = peer;
  if (publicKey === undefined || isPendingKey(publicKey)) return undefined;
  const device = state?.devices.find((each) => each.link === link);
  return device?.peers.find((each) => sameKey(each.publicKey, publicKey));
}

function hostReady({ unreachable, facts, wanted }: StatusInput, { host, inSync, drift }: HostStatus): ResourceStatus {
  const down = unreachable.get(host);
  const damaged = facts.get(host)?.recordProblem;
  const pending = drift.length === 1 ? '1 change is pending' : `${drift.length} changes are pending`;
  const reason = down !== undefined ? `unreachable: ${down}` : (damaged ?? (inSync ? null : pending));
  const addresses =
    down === undefined ? (wanted.get(host)?.publicAddresses ?? []).map(({ outer }) => printAddress(outer)) : [];
  return { kind: 'Host', name: host, ready: reason === null, reason, addresses, targets: [] };
}

function tunnelReady(input: StatusInput, ends: ReadonlyMap<string, End>, tunnel: TunnelResource): ResourceStatus {
  const { setName, facts, unreachable } = input;
  const reasons = tunnel.ends.flatMap(({ host }) => {
    if (unreachable.has(host)) return [`${host} is unreachable`];
    const applied =
      facts
        .get(host)
        ?.record?.sets.get(setName)
        ?.tunnels.some(({ name }) => name === tunnel.name) === true;
    if (!applied) return [`not applied on ${host} yet`];
    return ends.get(`${host} ${tunnel.name}`)?.reason ?? [];
  });
  const reason = reasons.length === 0 ? null : reasons.join('; ');
  const isSilent = tunnel.ends.some(({ host }) => ends.get(`${host} ${tunnel.name}`)?.isSilent === true);
  const [first, second] = tunnel.ends;
  const lookAt = isSilent
    ? whatToLookAt(tunnel, [silentEnd(input, first.host, tunnel), silentEnd(input, second.host, tunnel)])
    : [];
  const named = lookAt.length === 0 ? {} : { lookAt };
  return { kind: 'Tunnel', name: tunnel.name, ready: reason === null, reason, ...named, addresses: [], targets: [] };
}

function silentEnd(input: StatusInput, host: string, { name }: TunnelResource): SilentEnd {
  const share = tunnelsOf(input, host).find((tunnel) => tunnel.name === name);
  const peer = share === undefined ? undefined : peerOf(input.facts.get(host)?.state, share);
  const stopped = input.stopped?.get(`${name} ${host}`);
  return {
    publicAddresses: input.wanted.get(host)?.publicAddresses ?? [],
    ...(input.deaf?.has(`${host} ${name}`) === true && { isDeaf: true }),
    ...(peer !== undefined && { peer }),
    ...(stopped !== undefined && { stopped }),
  };
}

interface Known {
  readonly hosts: readonly HostStatus[];
  readonly ends: ReadonlyMap<string, End>;
  readonly placed: ReadonlyMap<string, readonly PlacedForward[]>;
}

function forwardReady(
  input: StatusInput,
  { hosts, ends, placed }: Known,
  forward: PortForwardResource,
): ResourceStatus {
  const targets = forward.to.map((target) => ({
    name: nameOf(target),
    healthy: unhealthy(forward, target, ends) === undefined,
  }));
  const concerned = new Set([
    ...forward.atHosts,
    ...forward.to.flatMap((target) => (target.kind === 'host' ? [target.host] : [])),
  ]);
  const reasons: string[] = [];
  for (const name of concerned) {
    const status = hosts.find(({ host }) => host === name);
    if (status?.reachable !== true) reasons.push(`${name} is unreachable`);
    else if (!status.inSync) reasons.push(`${name} is not in sync`);
  }
  const shares = forward.atHosts.flatMap((host) => placed.get(`${host} ${forward.name}`) ?? []);
  for (const host of forward.atHosts) {
    if (input.unreachable.has(host) || placed.has(`${host} ${forward.name}`)) continue;
    reasons.push(`not applied on ${host} yet`);
  }
  if (targets.every(({ healthy }) => !healthy)) {
    reasons.push(...forward.to.flatMap((target) => unhealthy(forward, target, ends) ?? []));
  }
  const reason = reasons.length === 0 ? null : [...new Set(reasons)].join('; ');
  const addresses = [...new Set(shares.flatMap(({ host, share }) => addressesOf(input, host, share)))];
  return { kind: 'PortForward', name: forward.name, ready: reason === null, reason, addresses, targets };
}

interface PlacedForward {
  readonly host: string;
  readonly share: ForwardShare;
}

/** What stands of forwards on hosts, by the hosts' records, as `HOST FORWARD`: asked for is not applied. */
function placedForwards({ facts, setName }: StatusInput): ReadonlyMap<string, readonly PlacedForward[]> {
  const placed = new Map<string, PlacedForward[]>();
  for (const [host, { record }] of facts)
    for (const share of record?.sets.get(setName)?.forwards ?? []) {
      const key = `${host} ${share.name}`;
      const known = placed.get(key);
      if (known === undefined) placed.set(key, [{ host, share }]);
      else known.push({ host, share });
    }
  return placed;
}

const nameOf = (target: Target): string => (target.kind === 'host' ? target.host : printAddress(target.address));

/** Why traffic does not reach the target; undefined where nothing is known against it. */
function unhealthy(forward: PortForwardResource, target: Target, ends: ReadonlyMap<string, End>): string | undefined {
  if (target.kind === 'address') return undefined;
  for (const at of forward.atHosts) {
    const tunnel = target.via.get(at);
    if (tunnel === undefined) continue;
    for (const host of [at, target.host]) {
      const end = ends.get(`${host} ${tunnel}`);
      if (end?.up !== true) return end?.reason ?? `tunnel ${tunnel} is not applied on ${host} yet`;
    }
  }
  return undefined;
}

/** The public addresses of a forward as the Internet sees them. */
function addressesOf({ wanted }: StatusInput, host: string, { match }: ForwardShare): readonly string[] {
  const known = wanted.get(host)?.publicAddresses ?? [];
  const seen = (inner: Address): Address => known.find((each) => sameAddress(each.inner, inner))?.outer ?? inner;
  if ('address' in match) return [printAddress(seen(match.address))];
  return known
    .filter(({ link, inner }) => link === match.interface && inner.family === match.family)
    .map(({ outer }) => printAddress(outer));
}
