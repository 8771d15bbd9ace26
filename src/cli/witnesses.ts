/** Who tells whether the promises that stand are kept: as outsiders ask, from this machine, and at the targets, from the host that forwards. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { aroundHost, type ManagedHost, type SetPlan, type Witness } from '../apply/index.ts';
import type { Compiled, CompiledHost, TargetProbe } from '../compile/index.ts';
import { type ForwardShare, type HostFacts, targetsOf } from '../host/index.ts';
import { samePortRange } from '../net/index.ts';
import { printEnd } from '../simulate/index.ts';
import { type Probe, probesOf } from '../verify/index.ts';
import { askTcp } from './probing.ts';
import { probeCommand, readOutcome } from './run/probe-script.ts';

/** Of fifty thousand forwards of a host some; those that change come first. */
const MOST_FORWARDS = 32;
const EVERY_MS = 300;

/** On each host that is to change: its way out, its resolver, other hosts' tunnels. */
export const aroundHosts =
  (managed: readonly ManagedHost[], plan: SetPlan) =>
  (when: 'before' | 'after'): readonly Witness[] =>
    plan.hosts.flatMap((each) => {
      const host = managed.find(({ name }) => name === each.host);
      return host === undefined || each.changes.length === 0 ? [] : [aroundHost(host, each, when)];
    });

/** Of the forwards that stand before the change and after it. */
export function ofPromises(
  compiled: Compiled,
  facts: ReadonlyMap<string, HostFacts>,
  managed: readonly ManagedHost[],
): readonly Witness[] {
  const edges = [...compiled.hosts.values()].map((edge) => standing(edge, facts.get(edge.name)));
  const probes = probesOf({ ...compiled, hosts: new Map(edges.map((edge) => [edge.name, edge])) });
  return [
    ...probes.filter(({ protocol }) => protocol === 'tcp').map(fromHere),
    ...edges.flatMap((edge) => {
      const host = managed.find(({ name }) => name === edge.name);
      const targets = targetsAt(edge);
      return host === undefined || targets.length === 0 ? [] : [targetsFrom(host, targets)];
    }),
  ];
}

const fromHere =
  ({ resource, outer, port }: Probe): Witness =>
  async (answers, signal) => {
    while ((await askTcp(outer, port, signal)) !== 'answered') await sleep(EVERY_MS, undefined, { signal });
    answers(`${printEnd(outer, port)}/tcp of ${resource}, asked from here,`);
  };

/** The host with those of its forwards that stood before, as they are now. */
function standing(edge: CompiledHost, facts: HostFacts | undefined): CompiledHost {
  const before = [...(facts?.record?.sets.values() ?? [])].flatMap(({ forwards }) => forwards);
  // What did not change is taken over from the record, the very objects.
  const known = new Set(before);
  const changed = edge.share.forwards.filter((each) => !known.has(each)).slice(0, MOST_FORWARDS);
  const same = edge.share.forwards.filter((each) => known.has(each));
  const forwards = [...changed.filter((each) => before.some((other) => isSameDoor(each, other))), ...same];
  return { ...edge, share: { ...edge.share, forwards: forwards.slice(0, MOST_FORWARDS) } };
}

/** For the same clients: who is shut out by what he changed himself has lost nothing. */
const isSameDoor = (left: ForwardShare, right: ForwardShare): boolean =>
  left.name === right.name &&
  left.protocol === right.protocol &&
  samePortRange(left.ports, right.ports) &&
  left.hairpin === right.hairpin &&
  isDeepStrictEqual([left.match, left.policy], [right.match, right.policy]);

/** UDP has no answer that all give. */
function targetsAt({ name, share }: CompiledHost): readonly TargetProbe[] {
  const targets = new Map<string, TargetProbe>();
  for (const forward of share.forwards) {
    if (forward.protocol !== 'tcp') continue;
    for (const { id, to: address } of targetsOf(forward)) {
      const port = forward.targetPorts.first;
      const asked = { host: name, forward: forward.name, index: 0, id, address, port };
      targets.set(printEnd(address, port), { ...asked, intervalMs: EVERY_MS, failures: 1 });
    }
  }
  return [...targets.values()];
}

const targetsFrom =
  ({ name, transport }: ManagedHost, targets: readonly TargetProbe[]): Witness =>
  (answers, signal) =>
    transport.follow(
      probeCommand(targets, false),
      (line) => {
        const outcome = readOutcome(line);
        const target = outcome?.answered === true ? targets[outcome.index] : undefined;
        if (target === undefined) return;
        answers(`${name}: the target ${printEnd(target.address, target.port)} of PortForward/${target.forward}`);
      },
      signal,
    );
