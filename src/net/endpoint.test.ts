import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isAddress, parseAddress, parseEndpoint, printEndpoint } from './index.ts';

describe('read, and printed the same', () => {
  for (const text of [
    '198.51.100.10:51820',
    '[2001:db8::1]:51820',
    '[::ffff:192.0.2.1]:1',
    'name.example:51820',
    'edge:65535',
    'xn--bcher-kva.example:80',
    '1.example:80',
  ]) {
    test(text, () => {
      const endpoint = parseEndpoint(text);
      expect(endpoint && printEndpoint(endpoint)).toBe(text);
      expect(isAddress(endpoint?.host)).toBe(!/[g-z]/.test(text));
    });
  }
});

test('a name is read in lower case, without the dot of the root', () =>
  expect(parseEndpoint('Name.Example.:80')).toEqual({ host: 'name.example', port: 80 }));

describe('refused', () => {
  for (const [name, text] of [
    ['no port', '198.51.100.10'],
    ['an empty port', 'name.example:'],
    ['port 0', '198.51.100.10:0'],
    ['a port too high', 'name.example:65536'],
    ['a port range', 'name.example:80-90'],
    ['no host', ':80'],
    ['IPv6 without brackets', '2001:db8::1:51820'],
    ['IPv4 in brackets', '[192.0.2.1]:80'],
    ['a name in brackets', '[name.example]:80'],
    ['an open bracket', '[2001:db8::1:80'],
    ['no port after the bracket', '[2001:db8::1]'],
    ['a zone id', '[fe80::1%eth0]:80'],
    ['a wrong IPv4 address', '198.51.100.256:80'],
    ['a short IPv4 address', '127.1:80'],
    ['a hexadecimal IPv4 address', '0x7f.1:80'],
    ['a hexadecimal last label', '127.0.0.0x1:80'],
    ['an empty label', 'name..example:80'],
    ['a hyphen at the end of a label', 'name-.example:80'],
    ['a label of 64', `${'a'.repeat(64)}.example:80`],
    ['a name of 254', `${'a.'.repeat(126)}aa:80`],
    ['a space', 'name example:80'],
    ['a scheme', 'udp://name.example:80'],
  ] as const) {
    test(`${name}: ${text.slice(0, 40)}`, () => expect(parseEndpoint(text)).toBeUndefined());
  }
});

test('a URL with the printed endpoint has the same address and port', () => {
  const anyHost = fc.oneof(
    fc.bigInt(0n, 2n ** 32n - 1n).map((value) => ({ family: 4 as const, value })),
    fc.bigInt(0n, 2n ** 128n - 1n).map((value) => ({ family: 6 as const, value })),
  );
  fc.assert(
    fc.property(anyHost, fc.integer({ min: 1, max: 65_535 }), (host, port) => {
      const text = printEndpoint({ host, port });
      expect(parseEndpoint(text)).toEqual({ host, port });
      // A scheme unknown to WHATWG URL, as of http it would drop port 80.
      const url = new URL(`endpoint://${text}`);
      expect(url.port).toBe(`${port}`);
      expect(parseAddress(url.hostname.replace(/^\[|\]$/g, ''))).toEqual(host);
    }),
  );
});
