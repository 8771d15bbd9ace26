/** `--adopt`: what the documents want, where rules that somebody made by hand are taken over. */
import type { Aim, AimFor } from '../apply/index.ts';
import type { Compiled } from '../compile/index.ts';
import { type HandMade, type HostFacts, printPlace } from '../host/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import { printRule } from '../routing/index.ts';
import { type Adoption, adopt, factsWithout, type Seen } from '../verify/index.ts';
import type { AskedAim } from './ask-targets.ts';

/** What is to become of the hosts, and what it was judged by. */
export interface Wanted {
  readonly aimFor: AimFor;
  readonly aim: Aim;
  readonly compiled: Compiled;
  /** Absent: nothing was to be taken over. */
  readonly adoption?: Adoption;
}

/** As the documents say, with everybody's rules where they are. */
export const withoutAdopting = ({ aimFor, compiled }: AskedAim): Wanted => ({ aimFor, aim: compiled, compiled });

/** The same, less the rules that it stands for exactly. */
export function adopting(
  set: ResourceSet,
  facts: ReadonlyMap<string, HostFacts>,
  { aimFor }: AskedAim,
  { sockets }: Pick<Seen, 'sockets'>,
): Wanted {
  const adoption = adopt(set, facts, aimFor, sockets);
  const take = (compiled: Compiled): Aim => ({
    problems: compiled.problems,
    hosts: new Map(
      [...compiled.hosts].map(([name, host]) => [name, { ...host, taken: adoption.taken.get(name) ?? [] }]),
    ),
  });
  return {
    aimFor: (now) => take(aimFor(factsWithout(now, adoption.taken))),
    aim: take(adoption.compiled),
    compiled: adoption.compiled,
    adoption,
  };
}

/** A rule that stays though it speaks of what the documents ask, as `plan -o json` gives it. */
export interface LeftAloneReport {
  readonly rule: string;
  readonly why: string;
}

export const reportLeftAlone = (adoption: Adoption | undefined, host: string): readonly LeftAloneReport[] =>
  (adoption?.left.get(host) ?? []).map(({ made, why }) => ({ rule: printHandMade(made), why }));

/** As somebody would type it. */
function printHandMade(made: HandMade): string {
  if (made.kind === 'rule') return `ip ${made.rule.family === 6 ? '-6 ' : ''}rule ${printRule(made.rule)}`;
  const place = printPlace({ ...made, kind: 'iptables' });
  return `${place.slice(0, -made.chain.length)}${made.text}`;
}
