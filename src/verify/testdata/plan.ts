/** Resources as text and facts, compiled and proven. */
import { type Compiled, compile } from '../../compile/index.ts';
import type { HostFacts } from '../../host/index.ts';
import { loadResources, printProblem } from '../../resources/index.ts';
import type { Planned, Promised } from '../index.ts';

/** Throws an Error with all problems where the text does not load or compile. */
export function planned(text: string, hosts: Readonly<Record<string, HostFacts>>): Planned {
  const { set, problems } = loadResources([{ name: 'test.yaml', text }]);
  if (set === undefined) throw new Error(problems.map(printProblem).join('\n'));
  const facts = new Map(Object.entries(hosts));
  const compiled: Compiled = compile(set, facts, { setName: 'default', version: '0.0.0' });
  if (compiled.problems.length > 0) throw new Error(compiled.problems.map(printProblem).join('\n'));
  return { set, compiled, facts };
}

/** What does not hold, a line each. */
export const unkept = (promises: readonly Promised[]): readonly string[] =>
  promises
    .filter(({ holds }) => holds !== true)
    .map(({ resource, promise, holds, reason }) => `${resource}: ${promise}: ${holds}: ${reason}`);
