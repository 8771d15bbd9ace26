import { expect, test } from 'vitest';
import { add, type HostChange, remove } from '../host/index.ts';
import { undoAsListed } from './take-back.ts';

const table = (name: string): HostChange =>
  remove({ kind: 'nft', object: { kind: 'table', family: 'inet', table: name } });
const sysctl = (path: string): HostChange => add({ kind: 'sysctl', path, value: '1' });
const names = (changes: readonly HostChange[]): readonly string[] =>
  changes.map((change) => {
    const object = change.action === 'remove' ? change.before : change.after;
    const name = object.kind === 'nft' && object.object.kind === 'table' ? object.object.table : object.kind;
    return `${change.action} ${object.kind === 'sysctl' ? object.path : name}`;
  });

test('what is taken back comes last first, and of nft what stands together as it was listed', () => {
  const done = [sysctl('a'), table('first'), table('second'), sysctl('b'), table('third'), sysctl('c'), sysctl('d')];
  expect(names(undoAsListed(done))).toEqual([
    'remove d',
    'remove c',
    'add third',
    'remove b',
    'add first',
    'add second',
    'remove a',
  ]);
  expect(undoAsListed([])).toEqual([]);
  expect(names(undoAsListed([table('first'), table('second')]))).toEqual(['add first', 'add second']);
});
