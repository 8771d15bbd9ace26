import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JsonError, readJson } from './json.ts';

test('any JSON is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom(0, 2, '\t'), (text, space) => {
      const wanted: unknown = JSON.parse(text);
      expect(readJson(JSON.stringify(wanted, null, space)).map(({ data }) => data)).toStrictEqual([wanted]);
    }),
  );
});

test('what JSON.parse refuses is refused', () => {
  fc.assert(
    fc.property(
      fc.json(),
      fc.nat(),
      fc.constantFrom('', '"', ',', '{', ']', ':', '0', '\\', '\n', 'e', '\u0000'),
      (json, at, put) => {
        const place = at % (json.length + 1);
        const text = json.slice(0, place) + put + json.slice(place + 1);
        const ours = outcome(() => readJson(text).map(({ data }) => data));
        const theirs = outcome(() => [JSON.parse(text)]);
        // Values that follow each other, none, and duplicate keys are ours to judge.
        if (theirs === undefined && ours !== undefined) expect(ours.length).not.toBe(1);
        if (theirs !== undefined && ours !== undefined) expect(ours).toStrictEqual(theirs);
        if (theirs !== undefined && ours === undefined) expect(() => readJson(text)).toThrow(/stands here twice/);
      },
    ),
  );
});

function outcome(read: () => readonly unknown[]): readonly unknown[] | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof JsonError) return undefined;
    throw error;
  }
}

test('deep nesting is refused, not run out of stack', () => {
  expect(() => readJson('['.repeat(100_000))).toThrow(new JsonError('is nested too deeply', 200));
});
