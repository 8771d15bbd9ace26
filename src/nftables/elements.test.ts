import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as nft from './build.ts';
import { compareElements } from './elements.ts';
import { noteElements } from './elements-by-port.ts';
import { dataKeyOf, keyOf, normalData, normalValue } from './normal-value.ts';
import type { DataType, MapElement, Value } from './ruleset.ts';
import { ip } from './sample-table.ts';

const KEY: DataType = ['ipv4_addr', 'inet_proto', 'inet_service'];
const DATA: DataType = ['ipv4_addr', 'inet_service'];

/** Few values, each in every spelling there is of it. */
const address = fc.constantFrom<Value>(
  nft.address(ip('192.0.2.1')),
  nft.prefix({ address: ip('192.0.2.1'), length: 32 }),
  nft.prefix({ address: ip('192.0.2.0'), length: 24 }),
  { kind: 'range', first: nft.address(ip('192.0.2.0')), last: nft.address(ip('192.0.2.255')) },
  { kind: 'range', first: nft.address(ip('192.0.2.1')), last: nft.address(ip('192.0.2.1')) },
  { kind: 'wildcard' },
  { kind: 'opaque', json: { strange: 1 } },
);
const protocol = fc.constantFrom<Value>(nft.symbol('tcp'), nft.number(6), nft.symbol('udp'), nft.number(200));
const port = fc.constantFrom<Value>(nft.number(80), nft.range(80, 80), nft.range(80, 90), nft.number(6));
const element = fc
  .record({ address, protocol, port, to: address, toPort: port, comment: fc.constantFrom(undefined, 'one') })
  .map(
    ({ address, protocol, port, to, toPort, comment }): MapElement => ({
      key: nft.concat(address, protocol, port),
      data: nft.concat(to, toPort),
      ...(comment !== undefined && { comment }),
    }),
  );
/** As a map of ours has them, and the kernel lists them: more addresses than a quick look keeps apart, and ports beside which there are none. */
const plain = fc
  .record({
    address: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 20 })),
    protocol: fc.constantFrom('tcp', 'udp'),
    port: fc.constantFrom(0, 80, 65_535, 65_536 + 80),
    to: fc.constantFrom('10.0.0.1', '::ffff:10.0.0.1'),
    toPort: fc.constantFrom(80, 81, 65_536),
    extra: fc.constantFrom(undefined, { timeout: 60 }),
  })
  .map(
    ({ address, protocol, port, to, toPort, extra }): MapElement => ({
      key: nft.concat(nft.address(ip(`192.0.2.${address}`)), nft.symbol(protocol), nft.number(port)),
      data: nft.concat(nft.address(ip(to)), nft.number(toPort)),
      ...(extra !== undefined && { extra }),
    }),
  );

const keyText = ({ key }: MapElement): string => keyOf(normalValue(key, KEY), KEY);
const text = (each: MapElement): string =>
  JSON.stringify([keyText(each), dataKeyOf(normalData(each.data, DATA), DATA), each.comment, each.extra]);
const lastOfEach = (all: readonly MapElement[]) => new Map(all.map((each) => [keyText(each), each]));

for (const [what, elements] of [
  ['whatever the spelling', fc.array(element, { maxLength: 12 })],
  ['in one spelling', fc.uniqueArray(plain, { selector: keyText, maxLength: 40 })],
  ['in one spelling, with keys more than once', fc.array(plain, { maxLength: 12 })],
] as const)
  test(`what differs is what differs in the normal forms, ${what}`, () => {
    fc.assert(
      fc.property(elements, elements, (from, to) => {
        const [before, after] = [lastOfEach(from), lastOfEach(to)];
        const { removed, set } = compareElements(from, to, { key: KEY, data: DATA });
        expect(removed.map(text).sort()).toEqual(
          [...before]
            .filter(([key]) => !after.has(key))
            .map(([, each]) => text(each))
            .sort(),
        );
        expect(set.map((each) => [each.before && text(each.before), text(each.after)]).sort()).toEqual(
          [...after]
            .map(([key, each]) => ({ old: before.get(key), each }))
            .filter(({ old, each }) => old === undefined || text(old) !== text(each))
            .map(({ old, each }) => [old && text(old), text(each)])
            .sort(),
        );
      }),
      { numRuns: 2_000 },
    );
  });

test('what was noted of a long list while it was made is what stands in it', () => {
  const stay = Array.from(
    { length: 600 },
    (_, index): MapElement => ({
      key: nft.concat(nft.address(ip('203.0.113.1')), nft.symbol('tcp'), nft.number(1_000 + index)),
      data: nft.concat(nft.address(ip(`10.0.1.${index % 7}`)), nft.number(index)),
    }),
  );
  fc.assert(
    fc.property(
      fc.array(plain, { maxLength: 12 }),
      fc.array(plain, { maxLength: 12 }),
      fc.array(fc.nat(599), { maxLength: 4 }),
      (some, others, gone) => {
        const from = [...stay.slice(0, 300), ...some, ...stay.slice(300)];
        const to = [...others, ...stay.filter((_, index) => !gone.includes(index))];
        const plainly = compareElements(from, to, { key: KEY, data: DATA });
        noteElements(from, KEY);
        noteElements(to, KEY);
        expect(compareElements(from, to, { key: KEY, data: DATA })).toEqual(plainly);
        expect(plainly.removed.length).toBeGreaterThanOrEqual(new Set(gone).size);
      },
    ),
    { numRuns: 200 },
  );
});

/** Around the bounds of what stands in an array, and beyond: 2 ** 32 must not be taken for 0, nor 80.5 for 80. */
const numbers = fc.array(
  fc.constantFrom(-1, 0, 63, 64, 80, 80.5, 65_535, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 32 + 80),
  {
    maxLength: 12,
  },
);

test('numbers of any size are told apart', () => {
  const elementsOf = (values: readonly number[]) => values.map((value) => ({ key: nft.number(value) }));
  const numberOf = ({ key }: { readonly key: Value }) => key.kind === 'number' && key.value;
  fc.assert(
    fc.property(numbers, numbers, (from, to) => {
      const { removed, set } = compareElements(elementsOf(from), elementsOf(to), { key: ['mark'] });
      expect(new Set(removed.map(numberOf))).toEqual(new Set(from.filter((each) => !to.includes(each))));
      expect(new Set(set.map(({ after }) => numberOf(after)))).toEqual(
        new Set(to.filter((each) => !from.includes(each))),
      );
      expect(set.every(({ before }) => before === undefined)).toBe(true);
    }),
    { numRuns: 1_000 },
  );
});
