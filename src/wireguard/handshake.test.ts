import { expect, test } from 'vitest';
import { tunnelUp } from './index.ts';

for (const [name, latestHandshake, up] of [
  ['no handshake yet', undefined, false],
  ['one just now', 1000, true],
  ['one 179 s ago', 821, true],
  ['one 180 s ago', 820, false],
  ['one after now, the clocks being apart', 1001, true],
] as const) {
  test(`${name}: ${up ? 'up' : 'down'}`, () =>
    expect(tunnelUp(latestHandshake === undefined ? {} : { latestHandshake }, 1000)).toBe(up));
}
