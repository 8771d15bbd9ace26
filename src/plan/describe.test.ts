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

test('a flowtable is told by its devices, and one that is made anew as emptied', () => {
  const flowtable = { name: 'sp_fast', priority: 0, devices: ['eth0', 'sp-x'], properties: ['counter'] } as const;
  const object = { kind: 'nft', object: { kind: 'flowtable', ...at, flowtable } } as const;
  const told = { name: 'flowtable sp_fast', reversible: true, transactional: true };
  expect(describeChange({ action: 'add', after: object })).toMatchObject({ ...told, after: 'devices eth0, sp-x' });
  const renewed = describeChange({ action: 'change', before: object, after: object });
  expect(renewed).toMatchObject({ ...told, before: 'devices eth0, sp-x', after: 'devices eth0, sp-x, emptied' });
});
