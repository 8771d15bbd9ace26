import { expect, test } from 'vitest';
import type { Problem } from '../resources/index.ts';
import { printProblems } from './problems-text.ts';

const problem = (line: number, what: string): Problem => ({
  ...{ code: 'wrongValue', path: 'spec.at', what },
  at: { file: 'edge.yaml', line, column: 3 },
});
const many = (count: number, what: string): readonly Problem[] =>
  Array.from({ length: count }, (_, index) => problem(index + 1, what));

test('each has its place and its line', () =>
  expect(printProblems([problem(1, 'it is wrong'), problem(4, 'it is late')])).toEqual([
    'edge.yaml:1:3: spec.at: it is wrong',
    'edge.yaml:4:3: spec.at: it is late',
  ]));

test('of one mistake made ten thousand times some are told and the rest is counted; none of another kind is left out', () => {
  const lines = printProblems([...many(10_000, 'it is wrong'), problem(20_000, 'it is late')]);
  expect(lines).toHaveLength(22);
  expect(lines[19]).toBe('edge.yaml:20:3: spec.at: it is wrong');
  expect(lines.slice(20)).toEqual([
    'edge.yaml:20000:3: spec.at: it is late',
    'and 9980 more places, which "-o json" names: it is wrong',
  ]);
});

test('twenty are all told', () => expect(printProblems(many(20, 'it is wrong'))).toHaveLength(20));
