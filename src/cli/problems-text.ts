import { type Problem, printProblem } from '../resources/index.ts';

/** Of one mistake made in a whole file, these many places tell what it is. */
const MOST_ALIKE = 20;

/** A line for each problem, in their order; of many that say the same the first, and at the end how many more there are. */
export function printProblems(problems: readonly Problem[]): readonly string[] {
  const counts = new Map<string, number>();
  const lines: string[] = [];
  for (const problem of problems) {
    const count = (counts.get(problem.what) ?? 0) + 1;
    counts.set(problem.what, count);
    if (count <= MOST_ALIKE) lines.push(printProblem(problem));
  }
  const left = [...counts].filter(([, count]) => count > MOST_ALIKE);
  return [
    ...lines,
    ...left.map(([what, count]) => `and ${count - MOST_ALIKE} more places, which "-o json" names: ${what}`),
  ];
}
