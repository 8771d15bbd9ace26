import { expect, test } from 'vitest';
import { wireguardMtu } from './index.ts';

for (const [name, pathMtu, family, mtu] of [
  ['IPv4', 1500, 4, 1440],
  ['IPv6', 1500, 6, 1420],
  ['PPPoE and IPv6', 1492, 6, 1412],
  ['the least IPv6 path', 1280, 6, 1200],
] as const) {
  test(`over ${name}`, () => expect(wireguardMtu(pathMtu, family)).toBe(mtu));
}
