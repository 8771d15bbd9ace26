/** A status report for people. */
import { printPending } from '../apply/index.ts';
import { printAge } from './age.ts';
import { paint } from './color.ts';
import { printSuspects } from './drift/report.ts';
import type { Drift, HostStatus, ResourceStatus, StatusReport } from './status-report.ts';

/** Hosts with what differs, then resources, one line each. */
export function printStatus({ hosts, resources }: StatusReport, color: boolean): string {
  const colors = paint(color);
  const mark = (good: boolean, text: string): string => (good ? colors.added(text) : colors.removed(text));
  const width = Math.max(0, ...resources.map(({ kind, name }) => kind.length + name.length + 1));
  const lines = [
    ...hosts.flatMap((host) => [
      `${colors.strong(host.host)}: ${mark(host.inSync, hostWords(host))}`,
      ...(host.pending === undefined ? [] : [colors.changed(`  ${printPending(host.pending)}`)]),
      ...printDrift(host, colors.changed),
      ...printSuspects(host.suspects).map((line) => colors.changed(`  ${line}`)),
    ]),
    '',
    ...resources.flatMap((resource) => {
      const label = `${resource.kind} ${resource.name}`.padEnd(width);
      const line = `${label}  ${mark(resource.ready, resource.ready ? 'ready' : 'not ready')}${details(resource)}`;
      return [line, ...printLookAt(resource)];
    }),
  ];
  return `${lines.join('\n')}\n`;
}

function hostWords({ reachable, inSync, drift, tunnels }: HostStatus): string {
  if (!reachable) return 'unreachable';
  const state = inSync
    ? 'in sync'
    : `not in sync, ${drift.length === 1 ? '1 change' : `${drift.length} changes`} pending`;
  const seen = tunnels.map(({ name, up, lastHandshakeSeconds, keyAgeSeconds }) => {
    const about = [
      ...(lastHandshakeSeconds === null ? [] : [`handshake ${lastHandshakeSeconds} s ago`]),
      ...(keyAgeSeconds === null ? [] : [`key ${printAge(keyAgeSeconds)} old`]),
    ];
    return `${name} ${up ? 'up' : 'down'}${about.length === 0 ? '' : ` (${about.join(', ')})`}`;
  });
  return [state, ...seen].join(', ');
}

/** How many differences are shown; all of them are in `plan`. */
const SHOWN = 10;

function printDrift({ drift }: HostStatus, colored: (text: string) => string): readonly string[] {
  const sign = { add: '+', change: '~', remove: '-' } as const;
  const lines = drift
    .slice(0, SHOWN)
    .map((each) => colored(`  ${sign[each.action]} ${each.object.padEnd(7)} ${each.name}${values(each)}`));
  return drift.length <= SHOWN ? lines : [...lines, `    ... and ${drift.length - SHOWN} more`];
}

/** Of a setting what it is and what it should be, and who it was. */
const values = ({ object, action, before, after, cause }: Drift): string =>
  object === 'sysctl' && action === 'change'
    ? `: ${before}, should be ${after}${cause === undefined ? '' : `; ${cause}`}`
    : '';

/** What may stop a tunnel's packets, in the order in which to look. */
export const printLookAt = ({ lookAt = [] }: ResourceStatus): readonly string[] =>
  lookAt.map((what, index) => `  ${index === 0 ? 'look at' : '       '} ${index + 1}. ${what}`);

function details({ reason, addresses, targets }: ResourceStatus): string {
  const parts = [
    ...(reason === null ? [] : [reason]),
    ...(addresses.length === 0 ? [] : [addresses.join(', ')]),
    ...(targets.length === 0
      ? []
      : [`to ${targets.map(({ name, healthy }) => `${name} ${healthy ? 'healthy' : 'unhealthy'}`).join(', ')}`]),
  ];
  return parts.length === 0 ? '' : `: ${parts.join('; ')}`;
}
