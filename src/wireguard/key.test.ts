import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isPendingKey, parsePublicKey, printKey, sameKey } from './index.ts';

test('every 32 bytes in base64 are a key', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      const text = Buffer.from(bytes).toString('base64');
      expect(parsePublicKey(text)).toBe(text);
    }),
  );
});

test('a key is the only text of its bytes: of any 44 characters those are read that base64 writes', () => {
  const valid = randomBytes(32).toString('base64');
  const last = fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_ \n');
  fc.assert(
    fc.property(last, last, (next, end) => {
      const text = valid.slice(0, 42) + next + end;
      const bytes = Buffer.from(text, 'base64');
      const canonical = bytes.length === 32 && bytes.toString('base64') === text;
      expect(parsePublicKey(text) !== undefined).toBe(canonical);
    }),
  );
});

describe('no key', () => {
  const valid = Buffer.alloc(32, 7).toString('base64');
  for (const [name, text] of [
    ['nothing', ''],
    ['wg for none', '(none)'],
    ['a line break at the end', `${valid}\n`],
    ['31 bytes', Buffer.alloc(31).toString('base64')],
    ['33 bytes', Buffer.alloc(33).toString('base64')],
    ['no padding', valid.slice(0, -1)],
    ['URL-safe characters', `-_${valid.slice(2)}`],
    ['hexadecimal', Buffer.alloc(32).toString('hex')],
  ] as const) {
    test(name, () => expect(parsePublicKey(text)).toBeUndefined());
  }
});

test('a pending key says whose it will be', () => {
  const pending = { pendingHost: 'edge', pendingTunnel: 'edge-node' };
  const key = parsePublicKey(Buffer.alloc(32, 1).toString('base64')) ?? expect.fail();
  expect(printKey(pending)).toBe('(public key of edge/edge-node, known after apply)');
  expect(printKey(key)).toBe(key);
  expect([isPendingKey(pending), isPendingKey(key)]).toEqual([true, false]);
  expect(sameKey(pending, { ...pending })).toBe(true);
  expect(sameKey(pending, { ...pending, pendingHost: 'node' })).toBe(false);
  expect(sameKey(pending, key)).toBe(false);
  expect(sameKey(key, key)).toBe(true);
});
