import { type Family, printAddress } from '../net/index.ts';
import type { Problem } from './problem.ts';
import type { HealthCheck, PortForwardResource, PortMapping, Target, TunnelResource } from './resource.ts';
import type { PortForwardDocument } from './schema.ts';
import type { Placed } from './validate.ts';

/** What a forward may refer to. Documents with a problem of their own count by name: who refers to them is not to blame. */
export interface Known {
  readonly hostNames: ReadonlySet<string>;
  readonly tunnelNames: ReadonlySet<string>;
  readonly tunnels: ReadonlyMap<string, TunnelResource>;
  /** Tunnels by the two hosts they join, see joinKey. */
  readonly joining: ReadonlyMap<string, readonly TunnelResource[]>;
}

type Written = Placed & { readonly spec: PortForwardDocument['spec'] };
type WrittenTarget = PortForwardDocument['spec']['to'][number];

/** The same for both orders of two hosts; a name has no space. */
export const joinKey = (one: string, other: string): string => (one < other ? `${one} ${other}` : `${other} ${one}`);

/** Reads a forward whose form is right; gives undefined and tells why where it does not fit the other documents. */
export function toForward(written: Written, known: Known, problems: Problem[]): PortForwardResource | undefined {
  const before = problems.length;
  const { place, spec, problem } = written;
  const { at, ports, to, health, ...rest } = spec;
  const mappings = ports.map(
    ({ protocol, port, targetPort = port }): PortMapping => ({
      protocol: protocol === 'TCP' ? 'tcp' : 'udp',
      ports: port,
      targetPorts: targetPort,
    }),
  );
  const targets = to.map((target, index) => toTarget(written, target, `spec.to[${index}]`, known, problems));
  for (const [index, { weight }] of to.entries())
    if (spec.policy === 'Failover' && weight !== 1)
      problems.push(
        problem(
          'wrongValue',
          `spec.to[${index}].weight`,
          'means nothing for policy Failover, which takes targets in their order',
        ),
      );
  if (spec.tracking === 'Stateless') problems.push(...untrackable(written));
  // With a target in doubt nothing can be said of families.
  if (problems.length > before) return undefined;
  const carried = [4, 6] as const satisfies Family[];
  const families = carried.filter((family) => targets.some((target) => target.families.includes(family)));
  for (const [index, address] of (at.addresses ?? []).entries()) {
    if (families.includes(address.family)) continue;
    const what = `${printAddress(address)} is IPv${address.family}, which no target can carry`;
    problems.push(problem('mixedFamilies', `spec.at.addresses[${index}]`, what));
  }
  if (problems.length > before) return undefined;
  const { addresses } = at;
  return {
    kind: 'PortForward',
    ...place,
    ...rest,
    ...toHealth(health),
    atHosts: at.hosts,
    ...(addresses === undefined ? {} : { atAddresses: addresses }),
    ports: mappings,
    to: targets.map(({ target }) => target),
    families:
      addresses === undefined ? families : carried.filter((one) => addresses.some(({ family }) => family === one)),
  };
}

/** What nobody can do who does not remember connections. */
function untrackable({ spec, problem }: Written): readonly Problem[] {
  const asked = [
    ...(spec.limits === undefined ? [] : [['spec.limits', 'counts connections']]),
    ...(spec.clientAddress === 'Masquerade' ? [['spec.clientAddress', 'remembers whom it hides']] : []),
  ] as const;
  return asked.map(([path, why]) =>
    problem('wrongValue', path ?? '', `${why}, and tracking: Stateless keeps none on the edge`),
  );
}

interface FoundTarget {
  readonly target: Target;
  readonly families: readonly Family[];
}

function toTarget(
  written: Written,
  target: WrittenTarget,
  path: string,
  known: Known,
  problems: Problem[],
): FoundTarget {
  const { host, via, address, weight, drain } = target;
  const { spec, problem } = written;
  if (host === undefined) {
    if (address === undefined) throw new TypeError('the schema lets no target without host and address through');
    return { target: { kind: 'address', address, weight, drain }, families: [address.family] };
  }
  const routes = new Map<string, string>();
  const families = new Set<Family>();
  const wrong = (code: Problem['code'], field: string, what: string): number =>
    problems.push(problem(code, `${path}${field}`, what));
  if (spec.at.hosts.includes(host)) {
    wrong('wrongValue', '.host', `${host} is where the forward is at; leave host out and give an address`);
  } else {
    for (const from of spec.at.hosts) {
      const tunnel = chooseTunnel(from, host, via, known, (field, what) => wrong('danglingReference', field, what));
      if (tunnel === undefined) continue;
      routes.set(from, tunnel.name);
      if (address === undefined) for (const family of tunnel.families) families.add(family);
      else if (tunnel.families.includes(address.family)) families.add(address.family);
      else
        wrong(
          'mixedFamilies',
          '.address',
          `${printAddress(address)} is IPv${address.family}, which Tunnel ${tunnel.name} does not carry`,
        );
    }
  }
  return {
    target: { kind: 'host', host, via: routes, ...(address === undefined ? {} : { address }), weight, drain },
    // A tunnel with a problem of its own is not found; it may carry either.
    families: routes.size < spec.at.hosts.length ? [4, 6] : [...families],
  };
}

/** The tunnel from one host to the other: the named one, or the only one. */
function chooseTunnel(
  from: string,
  to: string,
  via: string | undefined,
  { tunnels, tunnelNames, joining, hostNames }: Known,
  wrong: (field: string, what: string) => void,
): TunnelResource | undefined {
  // A dangling reference is said at its own place.
  if (!hostNames.has(from) || !hostNames.has(to) || (via !== undefined && !tunnelNames.has(via))) return undefined;
  const candidates = joining.get(joinKey(from, to)) ?? [];
  if (via !== undefined) {
    const tunnel = tunnels.get(via);
    if (tunnel === undefined) return undefined;
    if (candidates.includes(tunnel)) return tunnel;
    const [left, right] = tunnel.ends;
    wrong('.via', `Tunnel ${via} joins ${left.host} and ${right.host}, not ${from} and ${to}${instead(candidates)}`);
    return undefined;
  }
  const [only, second] = candidates;
  if (only !== undefined && second === undefined) return only;
  if (only !== undefined) {
    const names = candidates.map(({ name }) => name).join(', ');
    wrong('', `several tunnels join ${from} and ${to}; name one by via: ${names}`);
  } else if (tunnelNames.size === tunnels.size) {
    wrong('.host', `no tunnel joins ${from} and ${to}`);
  }
  return undefined;
}

const instead = (candidates: readonly TunnelResource[]): string =>
  candidates.length === 0 ? '' : `; these do: ${candidates.map(({ name }) => name).join(', ')}`;

/** Milliseconds between two probes. */
const INTERVAL_MS = 200;

function toHealth(health: PortForwardDocument['spec']['health']): { readonly health?: HealthCheck } {
  if (health === undefined) return {};
  const { tcp, http, interval = INTERVAL_MS, failures } = health;
  const port = http?.port ?? tcp;
  if (port === undefined) return {};
  return { health: { port, ...(http !== undefined && { path: http.path }), intervalMs: interval, failures } };
}
