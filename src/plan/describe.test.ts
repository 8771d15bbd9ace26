import { expect, test } from 'vitest';
import { type Chain, type RulesetObject, regularChain, rule } from '../nftables/index.ts';
import { describeChange } from './index.ts';

const removed = (object: RulesetObject) => describeChange({ action: 'remove', before: { kind: 'nft', object } });
const at = { family: 'inet', table: 'sallyport' } as const;

test('what can be written again is reversible, and what is not modelled is not', () => {
  const plain: Chain = regularChain('c', rule({ kind: 'counter' }));
  const foreign: Chain = regularChain('c', rule({ kind: 'opaque', json: { quota: 1 } }));
  expect(removed({ kind: 'chain', ...at, chain: plain })).toMatchObject({ reversible: true, transactional: true });
  expect(removed({ kind: 'object', ...at, type: 'quota', name: 'q', json: {} })).toMatchObject({
    reversible: false,
    name: 'quota q',
  });
  expect(() => removed({ kind: 'chain', ...at, chain: foreign })).not.toThrow();
  expect(removed({ kind: 'chain', ...at, chain: foreign })).toMatchObject({ reversible: false });
});
