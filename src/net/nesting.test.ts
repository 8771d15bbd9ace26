import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isNestedTooDeep } from './nesting.ts';

const depthOf = (json: unknown): number =>
  typeof json === 'object' && json !== null ? 1 + Math.max(0, ...Object.values(json).map(depthOf)) : 0;

test('what nests two hundred deep is read, and nothing deeper', () => {
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  expect([200, 201].map(nested).map(isNestedTooDeep)).toEqual([false, true]);
  expect(isNestedTooDeep(`${nested(200)},${nested(200)}`)).toBe(false);
});

test('brackets in strings do not count, whatever is escaped in them', () => {
  const around = (text: string): string => `${'['.repeat(199)}${JSON.stringify({ [text]: text })}${']'.repeat(199)}`;
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('"', '\\', '[', '{', ']', '}', 'a') }), (text) => {
      expect(depthOf(JSON.parse(around(text)))).toBe(200);
      expect(isNestedTooDeep(around(text))).toBe(false);
      expect(isNestedTooDeep(`[${around(text)}]`)).toBe(true);
    }),
  );
});
