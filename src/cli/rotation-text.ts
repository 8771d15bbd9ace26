/** An exchange of keys for people, and as `tunnel rotate -o json` gives it. Public keys alone are told. */
import type { SetPlan } from '../apply/index.ts';
import { nextKey, type RotatingEnd, type RotatingLink } from '../compile/index.ts';
import type { HostFacts } from '../host/index.ts';
import { printAge } from './age.ts';
import { type HostPlanReport, reportPlan } from './plan-report.ts';

export interface RotationReport {
  readonly hosts: readonly HostPlanReport[];
  readonly links: readonly RotatedLink[];
}

export interface RotatedLink {
  readonly host: string;
  readonly link: string;
  readonly tunnels: readonly string[];
  readonly publicKey: string | null;
  /** Null before it is made. */
  readonly newPublicKey: string | null;
  /** Of the key that goes; null where the host does not tell. */
  readonly keyAgeSeconds: number | null;
  readonly second: { readonly link: string; readonly port: number | null } | null;
}

export interface Reported {
  readonly ends: readonly RotatingEnd[];
  readonly links: readonly RotatingLink[];
  /** Before the exchange. */
  readonly facts: ReadonlyMap<string, HostFacts>;
  readonly plan: SetPlan;
  readonly brief: boolean;
  /** Seconds since the epoch. */
  readonly now: number;
}

export function reportRotation({ ends, links, facts, plan, brief, now }: Reported): RotationReport {
  return {
    hosts: reportPlan(new Set(ends.map(({ host }) => host)), plan, new Map()).hosts,
    links: links.map(({ host, link, second, port }) => {
      const known = facts.get(host);
      const planned = plan.hosts.find((each) => each.host === host)?.facts;
      const made = known?.keysMade?.get(link);
      const clock = now + (known?.clockAheadSeconds ?? 0);
      return {
        ...{ host, link },
        tunnels: ends.flatMap((end) => (end.host === host && end.link === link ? [end.tunnel] : [])),
        publicKey: known?.keys.get(link) ?? null,
        newPublicKey: planned?.keys.get(nextKey(link)) ?? null,
        keyAgeSeconds: made === undefined ? null : Math.max(0, Math.round(clock - made)),
        second: brief ? null : { link: second, port: port ?? null },
      };
    }),
  };
}

/** What is going to be done, a line a link. */
export function printRotation({ links }: RotationReport, also: ReadonlyMap<string, string>): string {
  const width = Math.max(...links.map(({ host, link }) => host.length + link.length + 1));
  const lines = links.map(({ host, link, tunnels, keyAgeSeconds, second }) => {
    const age = keyAgeSeconds === null ? '' : ` in place of one of ${printAge(keyAgeSeconds)}`;
    const port = second?.port === undefined || second.port === null ? '' : ` on UDP ${second.port}`;
    const beside =
      second === null ? '; nothing comes through while it is exchanged' : `; ${second.link}${port} carries meanwhile`;
    return `  ${`${host} ${link}`.padEnd(width)}  a new key${age} (${tunnels.join(', ')})${beside}`;
  });
  const shared = [...also].map(
    ([tunnel, link]) => `  ${tunnel} shares ${link}, which has one key: it gets new ones too`,
  );
  return `${['New keys:', ...lines, ...shared].join('\n')}\n`;
}

/** What came of it. */
export const printRotated = ({ links }: RotationReport): string =>
  `${['Rotated:', ...links.map(({ host, link, newPublicKey }) => `  ${host} ${link}: ${newPublicKey ?? 'unknown'}`)].join('\n')}\n`;

/** What must be done where nobody of us may. */
export function byHandLines(ends: readonly RotatingEnd[], plan: SetPlan): readonly string[] {
  return ends.flatMap(({ host, link, far, tunnel }) => {
    const facts = plan.hosts.find((each) => each.host === host)?.facts;
    const [before, after] = [facts?.keys.get(link), facts?.keys.get(nextKey(link))];
    return [
      `${far.host}, tunnel ${tunnel}: give its peer ${host} the public key ${after} now, in place of ${before};`,
      `  allowed IPs, endpoint and keepalive stay. Without a handshake within five minutes ${host} goes back to its old key.`,
    ];
  });
}
