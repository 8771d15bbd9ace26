/** How `run` fares, as Prometheus reads it (text format 0.0.4), and whether it is ready. Pure. */
import type { WatchedTarget } from './health.ts';
import type { KeptHost } from './keeper.ts';

export interface Standing {
  readonly hosts: readonly KeptHost[];
  readonly targets: readonly WatchedTarget[];
  /** Whether documents hold. */
  readonly hasDocuments: boolean;
  /** Documents that changed and were not taken up. */
  readonly refused: number;
  /** As the hosts' times, in milliseconds. */
  readonly now: number;
}

/** A host is not ready that was not seen to be good for so many of its looks, and this long: in milliseconds. */
const LATE_LOOKS = 2;
const LATE_MS = 10_000;

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number];

const MARKS: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' };
const escaped = (text: string): string => text.replace(/[\\"\n]/g, (mark) => MARKS[mark] ?? mark);

export function family(name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
    return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

const inSeconds = (ms: number): number => Math.round(ms) / 1_000;

/** All metrics. */
export function printMetrics(standing: Standing): string {
  const { hosts, targets, refused, now } = standing;
  const each = (value: (host: KeptHost) => number | undefined): readonly Sample[] =>
    hosts.flatMap((host) => {
      const found = value(host);
      return found === undefined ? [] : [[{ host: host.name }, found] as const];
    });
  const ofTargets = (value: (target: WatchedTarget) => boolean): readonly Sample[] =>
    targets.map((target) => {
      const { host, forward, id } = target.probe;
      return [{ host, forward, target: id }, Number(value(target))];
    });
  return [
    family(
      'sallyport_host_reachable',
      'gauge',
      'Whether the host answered when it was last looked at.',
      each(({ reachable }) => Number(reachable)),
    ),
    family(
      'sallyport_host_good_age_seconds',
      'gauge',
      'Since the host was last seen to be as it should be.',
      each(({ goodAt }) => (goodAt === undefined ? undefined : inSeconds(now - goodAt))),
    ),
    family(
      'sallyport_host_looks_total',
      'counter',
      'Looks at the host.',
      each(({ looks }) => looks),
    ),
    family(
      'sallyport_host_repairs_total',
      'counter',
      'Times the host was put right.',
      each(({ repairs }) => repairs),
    ),
    family(
      'sallyport_host_failures_total',
      'counter',
      'Times the host could not be put right.',
      each(({ failures }) => failures),
    ),
    family(
      'sallyport_target_healthy',
      'gauge',
      'Whether the target is healthy, seen from the host.',
      ofTargets(({ state }) => state.healthy),
    ),
    family(
      'sallyport_target_answers',
      'gauge',
      'Whether the last probe of the target was answered.',
      ofTargets(({ state }) => state.answers),
    ),
    family('sallyport_documents_refused_total', 'counter', 'Documents that changed and were not taken up.', [
      [{}, refused],
    ]),
  ].join('');
}

export interface Readiness {
  readonly ready: boolean;
  readonly hosts: readonly {
    readonly host: string;
    readonly reachable: boolean;
    /** Since it was last seen to be as it should be; null: not yet. */
    readonly goodAgeSeconds: number | null;
  }[];
}

/** Ready: documents hold, and each host was good a short while ago. */
export function readinessOf({ hosts, hasDocuments, now }: Standing): Readiness {
  const isFresh = ({ goodAt, lookWithinMs }: KeptHost): boolean =>
    goodAt !== undefined && now - goodAt <= LATE_LOOKS * lookWithinMs + LATE_MS;
  return {
    ready: hasDocuments && hosts.length > 0 && hosts.every(isFresh),
    hosts: hosts.map(({ name, reachable, goodAt }) => ({
      ...{ host: name, reachable },
      goodAgeSeconds: goodAt === undefined ? null : inSeconds(now - goodAt),
    })),
  };
}
