import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Address, parseAddress } from '../net/index.ts';
import { decodeRecord, encodeRecord } from './codec.ts';
import { type HostRecord, RECORD_FORMAT } from './record.ts';
import type { ForwardShare, HostShare } from './share.ts';
import { takeOver } from './take-over.ts';

const at = (text: string): Address => parseAddress(text) ?? expect.fail(text);

const forward = (index: number, more: Partial<ForwardShare> = {}): ForwardShare => ({
  name: `f${index >> 1}`,
  match: { address: at(`192.0.2.${index % 2}`) },
  protocol: 'tcp',
  ports: { first: 1000 + index, last: 1000 + index },
  to: at(index < 300 ? '10.0.0.1' : '10.0.0.2'),
  targetPorts: { first: 80, last: 80 },
  masquerade: false,
  publicLinks: ['eth0'],
  ...more,
});
/** So many that where they stand in the record is noted; two of each name. */
const many = Array.from({ length: 600 }, (_, index) => forward(index));

/** One change for each field there is. */
const CHANGES: Readonly<Record<keyof ForwardShare, Partial<ForwardShare>>> = {
  name: { name: 'other "name"' },
  match: { match: { interface: 'eth0', family: 4 } },
  protocol: { protocol: 'udp' },
  ports: { ports: { first: 7, last: 8 } },
  to: { to: at('2001:db8::1') },
  targetPorts: { targetPorts: { first: 80, last: 81 } },
  masquerade: { masquerade: true },
  link: { link: 'eth1' },
  publicLinks: { publicLinks: ['eth0', 'eth1'] },
  policy: { policy: { connections: 5 } },
  balance: { balance: [{ id: 'a', to: at('10.0.0.1'), masquerade: false, weight: 1 }] },
  silent: { silent: ['node'] },
  drain: { drain: false },
  hairpin: { hairpin: false },
  fastPath: { fastPath: false },
  stateless: { stateless: true },
};

const shareOf = (forwards: readonly ForwardShare[]): HostShare => ({ tunnels: [], forwards, accepts: [] });
const recordOf = (...shares: readonly HostShare[]): HostRecord => ({
  format: RECORD_FORMAT,
  version: '0.1.0',
  sets: new Map(shares.map((share, index) => [`set${index}`, share])),
  numbers: { mark: { value: 1, mask: 255 }, suppressPriority: 5000, tunnels: new Map() },
  sysctlsBefore: new Map(),
});
const read = (text: string): HostRecord => {
  const decoded = decodeRecord(text);
  return 'record' in decoded ? decoded.record : expect.fail(decoded.problem);
};
const firstOf = (record: HostRecord): HostShare => record.sets.get('set0') ?? expect.fail();

/** Some of the many changed, gone, come anew or in another order. */
const edit = fc.record({
  changed: fc.array(fc.tuple(fc.nat(599), fc.constantFrom(...Object.values(CHANGES))), { maxLength: 5 }),
  gone: fc.array(fc.nat(599), { maxLength: 5 }),
  come: fc.array(fc.tuple(fc.nat(599), fc.nat(700)), { maxLength: 5 }),
  turn: fc.constantFrom(0, 0, 1, 300),
});
type Edit = typeof edit extends fc.Arbitrary<infer E> ? E : never;
function edited({ changed, gone, come, turn }: Edit): readonly ForwardShare[] {
  const list = many.map((_, index) => forward(index));
  for (const [index, change] of changed) list[index] = { ...forward(index), ...change };
  const kept = list.filter((_, index) => !gone.includes(index));
  for (const [place, index] of come) kept.splice(place, 0, forward(index));
  return [...kept.slice(turn), ...kept.slice(0, turn)];
}

describe('what is taken over from a record', () => {
  test('is equal, and the text with it is that of a record without', () => {
    let taken = 0;
    fc.assert(
      fc.property(edit, edit, (first, then) => {
        const before = read(encodeRecord(recordOf(shareOf(edited(first)), shareOf(many))));
        const wanted = shareOf(edited(then));
        const share = takeOver(firstOf(before), wanted);
        expect(share).toEqual(wanted);
        const old = new Set(firstOf(before).forwards);
        taken += share.forwards.filter((each) => old.has(each)).length;
        const others = shareOf(many);
        expect(encodeRecord(recordOf(share, others), before)).toBe(encodeRecord(recordOf(wanted, others)));
      }),
      { numRuns: 150 },
    );
    expect(taken).toBeGreaterThan(150 * 300);
  });

  for (const [field, change] of Object.entries(CHANGES))
    test(`is none that differs in ${field}`, () => {
      const before = read(encodeRecord(recordOf(shareOf(many))));
      const share = takeOver(
        firstOf(before),
        shareOf(many.map((each, index) => (index === 9 ? { ...each, ...change } : each))),
      );
      expect(share.forwards[9]).toEqual({ ...many[9], ...change });
      expect(share.forwards.filter((each, index) => each !== firstOf(before).forwards[index])).toHaveLength(1);
    });

  for (const [name, text] of [
    ['written in one line', (json: unknown) => JSON.stringify(json)],
    ['written with more space', (json: unknown) => JSON.stringify(json, undefined, 2)],
    [
      'written with two rows on a line',
      (json: unknown) => encodeRecord(read(JSON.stringify(json))).replace(',\n      ["f1",', ', ["f1",'),
    ],
  ] as const)
    test(`is no text of a record that was ${name} by another hand`, () => {
      const record = recordOf(shareOf(many));
      const before = read(text(JSON.parse(encodeRecord(record))));
      const share = takeOver(firstOf(before), shareOf(many));
      expect(share.forwards).toEqual(many);
      expect(encodeRecord(recordOf(share), before)).toBe(encodeRecord(record));
    });

  test('is no text of a record by another version', () => {
    const record = recordOf(shareOf(many));
    const before = read(
      encodeRecord({ ...record, version: '0.0.9' }).replaceAll('"masquerade":false', '"masquerade": false'),
    );
    expect(encodeRecord(recordOf(takeOver(firstOf(before), shareOf(many))), before)).toBe(encodeRecord(record));
  });
});
