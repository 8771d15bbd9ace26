/** plan and apply ask each target of a forward once: which of them takes the traffic is part of what they make of the hosts. */
import type { ManagedHost } from '../apply/index.ts';
import type { Compiled, TargetHealth, TargetProbe } from '../compile/index.ts';
import type { HostFacts } from '../host/index.ts';
import { sameAddress } from '../net/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import { aimOfSet } from './aims.ts';
import { probeCommand, readOutcome } from './run/probe-script.ts';
import type { Survey } from './survey.ts';

/** What the documents want, by what their targets answered. */
export interface AskedAim {
  readonly aimFor: (facts: ReadonlyMap<string, HostFacts>) => Compiled;
  readonly compiled: Compiled;
}

/** Compiles, asks the targets that can be asked now, and compiles by their answers. Documents that nobody need be asked for cost nothing. */
export async function aimByTargets(
  set: ResourceSet,
  setName: string,
  { facts, managed, unreachable }: Pick<Survey, 'facts' | 'managed' | 'unreachable'>,
  signal: AbortSignal,
): Promise<AskedAim> {
  const unasked = aimOfSet(set, setName);
  const compiled = unasked(facts);
  const probes = compiled.probes.filter((probe) => !unreachable.has(probe.host) && isOpen(probe, facts, setName));
  if (probes.length === 0 || compiled.problems.length > 0) return { aimFor: unasked, compiled };
  const health = await askOnce(probes, managed, signal);
  const aimFor = aimOfSet(set, setName, () => health);
  return { aimFor, compiled: aimFor(facts) };
}

/** Whether the way there stands from an earlier apply: before it, a tunnel is silent whatever is behind it. */
function isOpen(
  { node, forward, address, port }: TargetProbe,
  facts: ReadonlyMap<string, HostFacts>,
  setName: string,
): boolean {
  if (node === undefined) return true;
  return (facts.get(node)?.record?.sets.get(setName)?.accepts ?? []).some(
    ({ name, protocol, address: taken, ports }) =>
      name === forward &&
      protocol === 'tcp' &&
      sameAddress(taken, address) &&
      ports.first <= port &&
      port <= ports.last,
  );
}

/** Asks all at once, from each host its own. What could not be asked is not in the answer. */
async function askOnce(
  probes: readonly TargetProbe[],
  managed: readonly ManagedHost[],
  signal: AbortSignal,
): Promise<TargetHealth> {
  const health = new Map<string, Map<string, (boolean | undefined)[]>>();
  const asking = managed.map(async ({ name, transport }) => {
    const own = probes.filter(({ host }) => host === name);
    if (own.length === 0) return;
    const forwards = new Map<string, (boolean | undefined)[]>();
    const onLine = (line: string): void => {
      const outcome = readOutcome(line);
      const probe = outcome && own[outcome.index];
      if (outcome === undefined || probe === undefined) return;
      const answers = forwards.get(probe.forward) ?? [];
      answers[probe.index] = outcome.answered;
      forwards.set(probe.forward, answers);
    };
    await transport.follow(probeCommand(own, true), onLine, signal);
    health.set(name, forwards);
  });
  await Promise.all(asking);
  return health;
}
