import { expect, test } from 'vitest';
import { startReadings } from './readings.ts';

const listing = (table: string): string =>
  JSON.stringify({ nftables: [{ metainfo: { json_schema_version: 1 } }, { table: { family: 'inet', name: table } }] });

test('a text that says what it said at the last look gives the very same object, another is read', () => {
  const readings = startReadings();
  const first = readings.ruleset(listing('one'));
  expect(readings.ruleset(listing('one'))).toBe(first);
  expect(readings.ruleset(listing('two'))).toMatchObject([{ name: 'two' }]);
  expect(readings.ruleset(listing('one'))).toMatchObject([{ name: 'one' }]);
});

test('no text is no record, a damaged one is a problem', () => {
  const readings = startReadings();
  expect(readings.record('')).toEqual({});
  expect(readings.record('{')).toMatchObject({ recordProblem: expect.stringContaining('cannot be read') });
  expect(readings.record('')).toEqual({});
});

test('a text that cannot be read is refused each time', () => {
  const readings = startReadings();
  expect(() => readings.ruleset('{')).toThrow('not JSON');
  expect(() => readings.ruleset('{')).toThrow('not JSON');
});
