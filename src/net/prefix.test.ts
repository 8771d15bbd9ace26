import { BlockList } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Address,
  addressBits,
  comparePrefixes,
  containsAddress,
  containsPrefix,
  firstAddress,
  hostPrefix,
  type InterfaceAddress,
  lastAddress,
  networkOf,
  type Prefix,
  parseAddress,
  parseInterfaceAddress,
  parsePrefix,
  prefixesOverlap,
  printAddress,
  printInterfaceAddress,
  printPrefix,
  samePrefix,
  wholeFamily,
} from './index.ts';

const anyAddress: fc.Arbitrary<Address> = fc.oneof(
  fc.record({ family: fc.constant(4 as const), value: fc.bigInt(0n, 2n ** 32n - 1n) }),
  fc.record({ family: fc.constant(6 as const), value: fc.bigInt(0n, 2n ** 128n - 1n) }),
);
const anyInterfaceAddress: fc.Arbitrary<InterfaceAddress> = anyAddress.chain((address) =>
  fc.nat(addressBits(address.family)).map((length) => ({ address, length })),
);
const anyPrefix: fc.Arbitrary<Prefix> = anyInterfaceAddress.map(networkOf);
/** A prefix and an address that lies inside it, at its ends or just beside it as often as far away. */
const prefixAndNeighbour = anyPrefix.chain((prefix) => {
  const first = firstAddress(prefix).value;
  const last = lastAddress(prefix).value;
  const highest = 2n ** BigInt(addressBits(prefix.address.family)) - 1n;
  const values = [first, last, first - 1n, last + 1n, (first + last) / 2n].filter(
    (value) => value >= 0n && value <= highest,
  );
  const beside = fc.constantFrom(...values).map((value): Address => ({ family: prefix.address.family, value }));
  return fc.tuple(fc.constant(prefix), fc.oneof(beside, anyAddress));
});

test('printed and read again, prefixes and interface addresses are themselves', () => {
  fc.assert(
    fc.property(anyInterfaceAddress, (address) => {
      expect(parseInterfaceAddress(printInterfaceAddress(address))).toEqual(address);
      expect(parsePrefix(printPrefix(networkOf(address)))).toEqual(networkOf(address));
    }),
  );
});

test('a prefix with host bits set is refused, as an interface address it is read', () => {
  fc.assert(
    fc.property(anyInterfaceAddress, (address) => {
      fc.pre(networkOf(address).address.value !== address.address.value);
      expect(parsePrefix(printInterfaceAddress(address))).toBeUndefined();
    }),
  );
});

describe('refused as prefix and as interface address', () => {
  for (const text of [
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/+8',
    '10.0.0.0/8 ',
    '10.0.0.0/8/8',
    '10.0.0.0/255.0.0.0',
    '10/8',
    '/8',
    '::/129',
    '::/-1',
    '::1%lo/128',
    '',
  ]) {
    test(JSON.stringify(text), () => {
      expect(parsePrefix(text)).toBeUndefined();
      expect(parseInterfaceAddress(text)).toBeUndefined();
    });
  }
});

describe('network, first and last address', () => {
  for (const [text, network, last] of [
    ['198.51.100.10/24', '198.51.100.0/24', '198.51.100.255'],
    ['10.90.0.2/30', '10.90.0.0/30', '10.90.0.3'],
    ['192.0.2.1/31', '192.0.2.0/31', '192.0.2.1'],
    ['192.0.2.1/32', '192.0.2.1/32', '192.0.2.1'],
    ['192.0.2.1/0', '0.0.0.0/0', '255.255.255.255'],
    ['2001:db8:e::10/64', '2001:db8:e::/64', '2001:db8:e:0:ffff:ffff:ffff:ffff'],
    ['fd90::1/127', 'fd90::/127', 'fd90::1'],
    ['::1/0', '::/0', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ] as const) {
    test(text, () => {
      const read = parseInterfaceAddress(text);
      const prefix = read && networkOf(read);
      expect(prefix && printPrefix(prefix)).toBe(network);
      expect(prefix && printAddress(lastAddress(prefix))).toBe(last);
      expect(prefix && firstAddress(prefix)).toEqual(parseAddress(network.slice(0, network.indexOf('/'))));
    });
  }
});

test('a prefix contains what BlockList of node:net says it contains', () => {
  const nodes = { 4: 'ipv4', 6: 'ipv6' } as const;
  fc.assert(
    fc.property(prefixAndNeighbour, ([prefix, address]) => {
      // BlockList matches IPv4-mapped addresses against IPv4 blocks; for us they are two families.
      fc.pre(address.family === prefix.address.family);
      const list = new BlockList();
      list.addSubnet(printAddress(prefix.address), prefix.length, nodes[prefix.address.family]);
      expect(containsAddress(prefix, address)).toBe(list.check(printAddress(address), nodes[address.family]));
    }),
    { numRuns: 500 },
  );
});

test('a prefix contains the addresses from its first to its last', () => {
  fc.assert(
    fc.property(prefixAndNeighbour, ([prefix, address]) => {
      const between =
        prefix.address.family === address.family &&
        address.value >= firstAddress(prefix).value &&
        address.value <= lastAddress(prefix).value;
      expect(containsAddress(prefix, address)).toBe(between);
      expect(containsPrefix(prefix, hostPrefix(address))).toBe(between);
      expect(containsPrefix(wholeFamily(address.family), hostPrefix(address))).toBe(true);
    }),
  );
});

test('prefixes nest or are apart', () => {
  const nearby = fc
    .tuple(prefixAndNeighbour, fc.nat(128))
    .map(
      ([[prefix, address], length]) =>
        [prefix, networkOf({ address, length: Math.min(length, addressBits(address.family)) })] as const,
    );
  fc.assert(
    fc.property(nearby, ([left, right]) => {
      const sameFamily = left.address.family === right.address.family;
      const share =
        sameFamily &&
        firstAddress(left).value <= lastAddress(right).value &&
        firstAddress(right).value <= lastAddress(left).value;
      expect(prefixesOverlap(left, right)).toBe(share);
      expect(containsPrefix(left, right)).toBe(share && left.length <= right.length);
      expect(samePrefix(left, right)).toBe(printPrefix(left) === printPrefix(right));
    }),
  );
});

test('a prefix sorts before those it contains', () => {
  const sorted = ['0.0.0.0/0', '10.0.0.0/8', '10.0.0.0/24', '10.0.1.0/24', '::/0', '2001:db8::/32'];
  const prefixes = sorted.toReversed().flatMap((text) => parsePrefix(text) ?? []);
  expect(prefixes.toSorted(comparePrefixes).map(printPrefix)).toEqual(sorted);
});
