import { expect, test } from 'vitest';
import type { Listing } from './generation.ts';
import { startReadings } from './readings.ts';

const listing = (table: string, generation?: string): Listing => ({
  text: JSON.stringify({
    nftables: [{ metainfo: { json_schema_version: 1 } }, { table: { family: 'inet', name: table } }],
  }),
  ...(generation !== undefined && { generation }),
});

test('a text that says what it said at the last look gives the very same object, another is read', () => {
  const readings = startReadings();
  const first = readings.ruleset(listing('one'), '');
  expect(readings.ruleset(listing('one'), '')).toBe(first);
  expect(readings.ruleset(listing('two'), '')).toMatchObject([{ name: 'two' }]);
  expect(readings.ruleset(listing('one'), '')).toMatchObject([{ name: 'one' }]);
});

test('no text is no record, a damaged one is a problem', () => {
  const readings = startReadings();
  expect(readings.record('')).toEqual({});
  expect(readings.record('{')).toMatchObject({ recordProblem: expect.stringContaining('cannot be read') });
  expect(readings.record('')).toEqual({});
});

test('a text that cannot be read is refused each time', () => {
  const readings = startReadings();
  expect(() => readings.ruleset({ text: '{' }, '')).toThrow('not JSON');
  expect(() => readings.ruleset({ text: '{' }, '')).toThrow('not JSON');
});

test('what stands is what was read last, if its generation is known', () => {
  const readings = startReadings();
  expect(readings.standing()).toBeUndefined();
  const tables = readings.ruleset(listing('one', 'g1'), 'links');
  expect(readings.standing()).toEqual({ generation: 'g1', links: 'links', tables });
  readings.ruleset(listing('two'), 'links');
  expect(readings.standing()).toBeUndefined();
  readings.ruleset(listing('one', 'g2'), 'links');
  expect(() => readings.ruleset({ text: '{', generation: 'g3' }, 'links')).toThrow('not JSON');
  expect(readings.standing()).toBeUndefined();
});
