/** The end of an apply: tunnels that it made or changed and that nothing comes through. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ManagedHost, SetPlan } from '../apply/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import { lookAt } from './look.ts';
import type { Output } from './output.ts';
import type { ResourceStatus } from './status-report.ts';
import { printLookAt } from './status-text.ts';
import { surveyManaged } from './survey.ts';

/** A call is repeated after 5 s (REKEY_TIMEOUT, WireGuard paper, 6.1): whose first one was answered has a handshake long before. */
const PATIENCE_MS = 3_000;
const EVERY_MS = 100;

export interface Applied {
  readonly set: ResourceSet;
  readonly setName: string;
  readonly managed: readonly ManagedHost[];
  /** What was carried out. */
  readonly plan: SetPlan;
}

/** Says on stderr what to look at where a tunnel stays silent. Changes that touch no tunnel cost no look. */
export async function tellSilence(output: Output, applied: Applied, signal: AbortSignal): Promise<void> {
  const touched = applied.plan.hosts.some(({ changes }) =>
    changes.some((change) => {
      const { kind } = change.action === 'remove' ? change.before : change.after;
      return change.action !== 'remove' && (kind === 'link' || kind === 'peer' || kind === 'device');
    }),
  );
  if (!touched) return;
  try {
    await waitAndTell(output, applied, signal);
  } catch (error) {
    // The apply is done, whatever comes of this look.
    if (!signal.aborted)
      output.say(`its tunnels were not looked at: ${error instanceof Error ? error.message : error}`);
  }
}

async function waitAndTell(output: Output, applied: Applied, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  let silent = await silentTunnels(output, applied, signal);
  while (silent.length > 0 && performance.now() < deadline) {
    output.progress(`waiting: ${silent[0]?.reason ?? ''}`);
    await sleep(EVERY_MS, undefined, { signal });
    silent = await silentTunnels(output, applied, signal);
  }
  for (const tunnel of silent) {
    output.say(`Tunnel ${tunnel.name} is not up yet: ${tunnel.reason}`);
    for (const line of printLookAt(tunnel)) output.say(line);
  }
}

async function silentTunnels(
  output: Output,
  { set, setName, managed }: Applied,
  signal: AbortSignal,
): Promise<readonly ResourceStatus[]> {
  const survey = await surveyManaged(set, managed, signal, output);
  const { resources } = await lookAt(set, setName, survey, signal);
  return resources.filter(({ name, lookAt: hints }) => {
    const tunnel = set.tunnels.get(name);
    // Of two ends that can be found, neither calls before it has something to send.
    const calls = tunnel?.type !== 'WireGuard' || tunnel.ends.some(({ endpoint }) => endpoint === undefined);
    return hints !== undefined && calls;
  });
}
