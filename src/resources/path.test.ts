import fc from 'fast-check';
import { expect, test } from 'vitest';
import { printPath, readPath } from './path.ts';

test('a path is printed as people write it', () => {
  expect(printPath(['spec', 'ports', 0, 'port'])).toBe('spec.ports[0].port');
  expect(printPath(['spec', 'interfaces', 1, 'outside', '10.0.0.5'])).toBe('spec.interfaces[1].outside["10.0.0.5"]');
});

test('what is printed is read back', () => {
  const step = fc.oneof(fc.nat(99), fc.string(), fc.constantFrom('spec', 'a-b', 'x]', '"', '\\'));
  fc.assert(
    fc.property(fc.array(step), (path) => {
      expect(readPath(printPath(path))).toEqual(path);
    }),
  );
});
