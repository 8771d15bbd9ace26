import { expect, test } from 'vitest';
import { printAddress } from '../net/index.ts';
import { readNamespaceNames, readNeighbours } from './read-neighbours.ts';

test('neighbours with a hardware address; one that failed has none', () => {
  const text = JSON.stringify([
    { dst: '10.0.0.2', dev: 'eth0', lladdr: '02:00:00:00:00:0b', state: ['STALE'] },
    { dst: 'fe80::1', dev: 'eth0', lladdr: '02:00:00:00:00:0c', router: null, state: ['REACHABLE'] },
    { dst: '10.0.0.3', dev: 'eth0', state: ['FAILED'] },
  ]);
  expect(readNeighbours(text).map(({ link, address, mac }) => [link, printAddress(address), mac])).toEqual([
    ['eth0', '10.0.0.2', '02:00:00:00:00:0b'],
    ['eth0', 'fe80::1', '02:00:00:00:00:0c'],
  ]);
});

test('namespaces by number; one without a name is left out', () => {
  expect(readNamespaceNames('[{"nsid":0,"name":"edge"},{"nsid":1}]')).toEqual(new Map([[0, 'edge']]));
  expect(readNamespaceNames('')).toEqual(new Map());
});

test('what is not the output of the command is an error that names it', () => {
  expect(() => readNeighbours('[{"dst":"nowhere"}]')).toThrow('ip -j neigh show');
  expect(() => readNamespaceNames('no')).toThrow('ip -j netns list-id');
});
