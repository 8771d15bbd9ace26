import { expect, test } from 'vitest';
import { parseMac } from './index.ts';

for (const [text, mac] of [
  ['00:1A:2b:3C:4d:5E', '00:1a:2b:3c:4d:5e'],
  ['00-1A-2B-3C-4D-5E', '00:1a:2b:3c:4d:5e'],
  ['ff:ff:ff:ff:ff:ff', 'ff:ff:ff:ff:ff:ff'],
  ['00:1a-2b:3c-4d:5e', undefined],
  ['0:1a:2b:3c:4d:5e', undefined],
  ['001a2b3c4d5e', undefined],
  ['00:1a:2b:3c:4d', undefined],
  ['00:1a:2b:3c:4d:5e:6f', undefined],
  ['00:1a:2b:3c:4d:5g', undefined],
  ['00:1a:2b:3c:4d:5e\n', undefined],
  ['', undefined],
] as const) {
  test(`${JSON.stringify(text)} is ${mac ?? 'refused'}`, () => expect(parseMac(text)).toBe(mac));
}
