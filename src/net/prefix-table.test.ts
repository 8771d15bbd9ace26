import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Address,
  addressBits,
  buildPrefixTable,
  containsAddress,
  type Family,
  lookupPrefix,
  lookupPrefixes,
  networkOf,
  type PrefixEntry,
  parseAddress,
  parsePrefix,
  printPrefix,
} from './index.ts';

/** Addresses from few values, so that prefixes nest, repeat and are hit. */
const crowdedAddress: fc.Arbitrary<Address> = fc
  .tuple(fc.constantFrom<Family>(4, 6), fc.nat(63), fc.nat(3))
  .map(([family, high, low]) => ({
    family,
    value: (BigInt(high) << BigInt(addressBits(family) - 6)) | BigInt(low),
  }));
const anyEntries = fc.array(
  fc.tuple(crowdedAddress, fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7, 30, 31, 32, 64, 127, 128), fc.nat()).map(
    ([address, length, value]): PrefixEntry<number> => ({
      prefix: networkOf({ address, length: Math.min(length, addressBits(address.family)) }),
      value,
    }),
  ),
  { maxLength: 40 },
);

/** All matches by looking at every entry; of equal prefixes the last one. */
function scan(entries: readonly PrefixEntry<number>[], address: Address): readonly PrefixEntry<number>[] {
  const matching = entries.filter(({ prefix }) => containsAddress(prefix, address));
  const byText = new Map(matching.map((entry) => [printPrefix(entry.prefix), entry]));
  return [...byText.values()].sort((left, right) => right.prefix.length - left.prefix.length);
}

test('the matches are those of a scan, longest first', () => {
  fc.assert(
    fc.property(anyEntries, fc.array(crowdedAddress, { minLength: 1 }), (entries, addresses) => {
      const table = buildPrefixTable(entries);
      for (const address of addresses) {
        const expected = scan(entries, address);
        expect(lookupPrefixes(table, address)).toEqual(expected);
        expect(lookupPrefix(table, address)).toEqual(expected[0]);
      }
    }),
    { numRuns: 500 },
  );
});

test('an empty table matches nothing', () =>
  expect(lookupPrefix(buildPrefixTable([]), { family: 4, value: 0n })).toBeUndefined());

test('a value of undefined is still a match', () => {
  const prefix = parsePrefix('10.0.0.0/8');
  const address = parseAddress('10.1.1.1');
  expect(prefix && address && lookupPrefix(buildPrefixTable([{ prefix, value: undefined }]), address)).toEqual({
    prefix,
    value: undefined,
  });
});

test('each of 10,000 host routes in as many networks is found', () => {
  const addresses = Array.from(
    { length: 10_000 },
    (_, index): Address => ({
      family: 6,
      value: (0x2001_0db8n << 96n) | (BigInt(index) << 64n) | 1n,
    }),
  );
  const table = buildPrefixTable(addresses.map((address, value) => ({ prefix: { address, length: 128 }, value })));
  addresses.forEach((address, value) => {
    if (lookupPrefix(table, address)?.value !== value) throw new Error(`host route ${value} was not found`);
  });
});
