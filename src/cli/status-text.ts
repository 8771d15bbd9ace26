/** A status report for people. */
import { paint } from './color.ts';
import type { HostStatus, ResourceStatus, StatusReport } from './status-report.ts';

/** Hosts with what differs, then resources, one line each. */
export function printStatus({ hosts, resources }: StatusReport, color: boolean): string {
  const colors = paint(color);
  const mark = (good: boolean, text: string): string => (good ? colors.added(text) : colors.removed(text));
  const width = Math.max(0, ...resources.map(({ kind, name }) => kind.length + name.length + 1));
  const lines = [
    ...hosts.flatMap((host) => [
      `${colors.strong(host.host)}: ${mark(host.inSync, hostWords(host))}`,
      ...printDrift(host, colors.changed),
    ]),
    '',
    ...resources.map((resource) => {
      const label = `${resource.kind} ${resource.name}`.padEnd(width);
      return `${label}  ${mark(resource.ready, resource.ready ? 'ready' : 'not ready')}${details(resource)}`;
    }),
  ];
  return `${lines.join('\n')}\n`;
}

function hostWords({ reachable, inSync, drift, tunnels }: HostStatus): string {
  if (!reachable) return 'unreachable';
  const state = inSync
    ? 'in sync'
    : `not in sync, ${drift.length === 1 ? '1 change' : `${drift.length} changes`} pending`;
  const seen = tunnels.map(({ name, up, lastHandshakeSeconds: age }) => {
    const handshake = age === null ? '' : ` (handshake ${age} s ago)`;
    return `${name} ${up ? 'up' : 'down'}${handshake}`;
  });
  return [state, ...seen].join(', ');
}

/** How many differences are shown; all of them are in `plan`. */
const SHOWN = 10;

function printDrift({ drift }: HostStatus, colored: (text: string) => string): readonly string[] {
  const sign = { add: '+', change: '~', remove: '-' } as const;
  const lines = drift
    .slice(0, SHOWN)
    .map(({ action, object, name }) => colored(`  ${sign[action]} ${object.padEnd(7)} ${name}`));
  return drift.length <= SHOWN ? lines : [...lines, `    ... and ${drift.length - SHOWN} more`];
}

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
