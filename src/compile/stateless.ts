/** What answers a stateless forward must be told by the target alone: nobody remembers what was asked. */
import { type ForwardShare, type HostShare, targetsOf } from '../host/index.ts';
import { type PortRange, printAddress, printPortRange } from '../net/index.ts';
import type { Problem, ResourceSet } from '../resources/index.ts';

interface Led {
  readonly set: string;
  readonly forward: ForwardShare;
}

/** Two public ports that lead to one port of one target, the answers of which a stateless forward could not tell apart; of all sets on a host. */
export function statelessProblems(
  set: ResourceSet,
  host: string,
  sets: ReadonlyMap<string, HostShare>,
  setName: string,
): readonly Problem[] {
  const all = [...sets].flatMap(([name, { forwards }]) => forwards.map((forward): Led => ({ set: name, forward })));
  if (!all.some(({ forward }) => forward.stateless === true)) return [];
  const groups = new Map<string, Led[]>();
  for (const led of all)
    for (const { to } of targetsOf(led.forward)) {
      const target = `${printAddress(to)} ${led.forward.protocol}`;
      const group = groups.get(target);
      if (group === undefined) groups.set(target, [led]);
      else group.push(led);
    }
  const problems = new Map<string, Problem>();
  for (const [target, group] of groups)
    for (const [one, other] of overlaps(group)) {
      if (one.forward.stateless !== true && other.forward.stateless !== true) continue;
      const own = [one, other].find((led) => led.set === setName && set.forwards.has(led.forward.name));
      const resource = own && set.forwards.get(own.forward.name);
      if (resource === undefined) continue;
      const ports = printPortRange(both(one.forward.targetPorts, other.forward.targetPorts));
      const what =
        `${printLed(one, setName)} and ${printLed(other, setName)} both lead ${host} to ${target} ${ports}, ` +
        'and without connection tracking an answer does not tell which was asked: give each a targetPort of its own, or name one address in at.addresses';
      const path = 'spec.ports';
      problems.set(`${resource.name} ${what}`, { code: 'cannotBe', at: resource.positionOf(path), path, what });
    }
  return [...problems.values()];
}

/** Each with the one before it that reaches furthest: who overlaps any overlaps that. */
function overlaps(group: readonly Led[]): readonly (readonly [Led, Led])[] {
  const pairs: (readonly [Led, Led])[] = [];
  let furthest: Led | undefined;
  let stateless: Led | undefined;
  const reach = (led: Led | undefined): number => led?.forward.targetPorts.last ?? -1;
  for (const led of [...group].sort((a, b) => a.forward.targetPorts.first - b.forward.targetPorts.first)) {
    // What is tracked is told apart from what is tracked: it meets stateless ones alone.
    const met = led.forward.stateless === true ? furthest : stateless;
    if (met !== undefined && reach(met) >= led.forward.targetPorts.first) pairs.push([met, led]);
    if (reach(led) > reach(furthest)) furthest = led;
    if (led.forward.stateless === true && reach(led) > reach(stateless)) stateless = led;
  }
  return pairs;
}

const both = (one: PortRange, other: PortRange): PortRange => ({
  first: Math.max(one.first, other.first),
  last: Math.min(one.last, other.last),
});

/** `PortForward web (198.51.100.10 80)`. */
function printLed({ set, forward: { name, match, ports } }: Led, own: string): string {
  const at = 'address' in match ? printAddress(match.address) : match.interface;
  return `PortForward ${name}${set === own ? '' : ` of the set "${set}"`} (${at} ${printPortRange(ports)})`;
}
