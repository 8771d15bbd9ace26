import { isIP, SocketAddress } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Address,
  addAddress,
  compareAddresses,
  isAddress,
  parseAddress,
  printAddress,
  sameAddress,
} from './index.ts';

const anyAddress: fc.Arbitrary<Address> = fc.oneof(
  fc.record({ family: fc.constant(4 as const), value: fc.bigInt(0n, 2n ** 32n - 1n) }),
  fc.record({ family: fc.constant(6 as const), value: fc.bigInt(0n, 2n ** 128n - 1n) }),
  // Groups mostly zero, where `::` and its rules live.
  fc
    .array(fc.oneof({ weight: 3, arbitrary: fc.constant(0n) }, fc.bigInt(0n, 0xffffn)), { minLength: 8, maxLength: 8 })
    .map((groups) => ({ family: 6 as const, value: groups.reduce((sum, group) => (sum << 16n) | group, 0n) })),
);

/** Texts close to an address: right ones, and right ones with characters put in, taken out or changed. */
const nearAddress = fc
  .tuple(
    fc.oneof(fc.ipV4(), fc.ipV6(), anyAddress.map(printAddress)),
    fc.array(
      fc.tuple(
        fc.nat(45),
        fc.nat(1),
        fc.constantFrom('', ':', '::', '.', '0', '1', 'f', 'F', 'g', '-', ' ', '256', '1.2.3.4'),
      ),
      {
        maxLength: 3,
      },
    ),
  )
  .map(([text, edits]) =>
    edits.reduce((edited, [at, taken, put]) => edited.slice(0, at) + put + edited.slice(at + taken), text),
  );

test('what node:net calls an address is read, and nothing else', () => {
  fc.assert(
    fc.property(nearAddress, (text) => {
      expect(parseAddress(text)?.family ?? 0).toBe(isIP(text));
    }),
    { numRuns: 5_000 },
  );
});

test('texts made of address characters are judged as node:net judges them', () => {
  const soup = fc.array(fc.constantFrom(':', '::', '.', '0', '00', '1', '9', '25', '255', 'ff', 'abcd', '1.2.3.4'), {
    maxLength: 18,
  });
  fc.assert(
    fc.property(
      soup.map((parts) => parts.join('')),
      (text) => {
        expect(parseAddress(text)?.family ?? 0).toBe(isIP(text));
      },
    ),
    { numRuns: 5_000 },
  );
});

test('a text is the address that the system reads in it', () => {
  fc.assert(
    fc.property(nearAddress, (text) => {
      fc.pre(isIP(text) !== 0);
      const family = isIP(text) === 4 ? 'ipv4' : 'ipv6';
      const systems = new SocketAddress({ address: text, family }).address;
      expect(parseAddress(systems)).toEqual(parseAddress(text));
    }),
    { numRuns: 2_000 },
  );
});

test('printed and read again, an address is itself', () => {
  fc.assert(
    fc.property(anyAddress, (address) => {
      expect(parseAddress(printAddress(address))).toEqual(address);
    }),
  );
});

test('the text is canonical: WHATWG URL serialises IPv6 the same way', () => {
  fc.assert(
    fc.property(anyAddress, (address) => {
      fc.pre(address.family === 6 && address.value >> 32n !== 0xffffn);
      expect(`[${printAddress(address)}]`).toBe(new URL(`http://[${printAddress(address)}]/`).hostname);
      expect(printAddress(address)).toBe(printAddress(parseAddress(spelledOut(address)) ?? address));
    }),
  );
});

/** All eight groups, four digits each, upper case. */
const spelledOut = ({ value }: Address): string =>
  value
    .toString(16)
    .toUpperCase()
    .padStart(32, '0')
    .replace(/(.{4})(?!$)/g, '$1:');

describe('printed by RFC 5952', () => {
  for (const [text, canonical] of [
    ['2001:0DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['::ffff:c000:0201', '::ffff:192.0.2.1'],
    ['::192.0.2.1', '::c000:201'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['1:2:3:4:5:6:255.254.253.252', '1:2:3:4:5:6:fffe:fdfc'],
    ['255.255.255.255', '255.255.255.255'],
    ['0.0.0.0', '0.0.0.0'],
  ] as const) {
    test(text, () => expect(printAddress(parseAddress(text) ?? { family: 4, value: 0n })).toBe(canonical));
  }
});

describe('refused', () => {
  for (const [name, text] of [
    ['a leading zero', '01.2.3.4'],
    ['two zeros', '1.2.3.00'],
    ['hexadecimal', '0x7f.0.0.1'],
    ['a short form', '127.1'],
    ['one number', '2130706433'],
    ['an octet too high', '256.1.1.1'],
    ['a fifth octet', '1.2.3.4.5'],
    ['an empty octet', '1..2.3'],
    ['nothing', ''],
    ['a space before', ' 1.2.3.4'],
    ['a newline after', '1.2.3.4\n'],
    ['a sign', '+1.2.3.4'],
    ['digits of another script', '١.٢.٣.٤'],
    ['a zone id', 'fe80::1%eth0'],
    ['brackets', '[::1]'],
    ['one colon', ':'],
    ['three colons', ':::'],
    ['two gaps', '1::2::3'],
    ['a gap for no group', '1:2:3:4::5:6:7:8'],
    ['a colon at the end', '1:2:3:4:5:6:7:'],
    ['a colon at the beginning', ':1:2:3:4:5:6:7'],
    ['seven groups', '1:2:3:4:5:6:7'],
    ['nine groups', '1:2:3:4:5:6:7:8:9'],
    ['a group of five digits', '::12345'],
    ['an embedded IPv4 in the middle', '::1.2.3.4:1'],
    ['an embedded IPv4 at the beginning', '1.2.3.4::'],
    ['an embedded IPv4 after seven groups', '1:2:3:4:5:6:7:1.2.3.4'],
    ['an embedded IPv4 with a leading zero', '::ffff:01.2.3.4'],
    ['a prefix', '10.0.0.0/8'],
  ] as const) {
    test(`${name}: ${JSON.stringify(text)}`, () => expect(parseAddress(text)).toBeUndefined());
  }
});

test('IPv4 sorts before IPv6, then by value', () => {
  const sorted = ['9.0.0.0', '10.0.0.0', '255.0.0.0', '::', '::ffff:9.0.0.0', '2001:db8::'];
  const addresses = sorted.toReversed().flatMap((text) => parseAddress(text) ?? []);
  expect(addresses.toSorted(compareAddresses).map(printAddress)).toEqual(sorted);
});

test('an IPv4-mapped address is not the IPv4 address', () => {
  fc.assert(
    fc.property(anyAddress, anyAddress, (left, right) => {
      expect(sameAddress(left, left)).toBe(true);
      expect(sameAddress(left, right)).toBe(printAddress(left) === printAddress(right));
      expect(compareAddresses(left, right) === 0).toBe(sameAddress(left, right));
    }),
  );
  expect(sameAddress({ family: 4, value: 1n }, { family: 6, value: 1n })).toBe(false);
});

test('an offset moves within the family and throws beyond it', () => {
  expect(addAddress({ family: 4, value: 0xc000_02ffn }, 1n)).toEqual({ family: 4, value: 0xc000_0300n });
  expect(addAddress({ family: 6, value: 2n ** 64n }, -1n)).toEqual({ family: 6, value: 2n ** 64n - 1n });
  expect(() => addAddress({ family: 4, value: 0xffff_ffffn }, 1n)).toThrow(
    '255.255.255.255 + 1 is not an IPv4 address',
  );
  expect(() => addAddress({ family: 6, value: 0n }, -1n)).toThrow(RangeError);
});

test('only an Address in the range of its family is one', () => {
  fc.assert(
    fc.property(anyAddress, (address) => {
      expect(isAddress(address)).toBe(true);
    }),
  );
  for (const other of ['192.0.2.1', undefined, null, {}, { family: 5, value: 1n }, { family: 4, value: 1 }]) {
    expect(isAddress(other)).toBe(false);
  }
  expect(isAddress({ family: 4, value: 2n ** 32n })).toBe(false);
  expect(isAddress({ family: 4, value: -1n })).toBe(false);
});
