/** The states that hosts go through while keys are exchanged, by what each sends and takes. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type HostFacts, renderState } from '../host/index.ts';
import { printPrefix } from '../net/index.ts';
import { loadResources } from '../resources/index.ts';
import { compile, compileRotation, nextKey, rotatingEnds, rotatingLinks } from './index.ts';
import { edge, node } from './testdata/facts.ts';

const SLIM_EDGE = readFileSync(new URL('testdata/slim-edge.yaml', import.meta.url), 'utf8');
const KEYS = ['o', 'n', 's'].map((letter) => Buffer.from(letter.repeat(32)).toString('base64'));
/** In force, next and of the second link, for each host another. */
const keysOf = (host: string, link: string, second: string) => ({
  [link]: Buffer.from(host.repeat(32).slice(0, 32)).toString('base64'),
  [nextKey(link)]: Buffer.from(`${host}next${KEYS[1]}`.slice(0, 32)).toString('base64'),
  [second]: Buffer.from(`${host}2nd${KEYS[2]}`.slice(0, 32)).toString('base64'),
});
const EDGE = keysOf('edge', 'sp-wg51820', 'sp-wg51820_');
const NODE = keysOf('node', 'sp-edge-node', 'sp-edge-node_');

/** Hosts as an apply of the slim edge left them. */
function applied(text = SLIM_EDGE): ReadonlyMap<string, HostFacts> {
  const { set } = loadResources([{ name: 'edge.yaml', text }]);
  if (set === undefined) throw new Error('the documents are wrong');
  const fresh = new Map(
    [...set.hosts.keys()].map((name) => [name, name === 'edge' ? edge({ keys: EDGE }) : node({ keys: NODE })]),
  );
  const { hosts, problems } = compile(set, fresh, { setName: 'default', version: '0' });
  expect(problems).toEqual([]);
  return new Map(
    [...fresh].map(([name, facts]): [string, HostFacts] => {
      const record = hosts.get(name)?.record;
      return [name, { ...facts, ...(record && { record }) }];
    }),
  );
}

test('first both links take and the old one sends, then the new one, and back; the keys are exchanged in the middle', () => {
  const facts = applied();
  const { ends, refused } = rotatingEnds(facts, 'default', ['edge-node'], new Set());
  expect(refused).toEqual([]);
  const rotated = compileRotation(ends, facts, { version: '0', brief: false });
  const seen = [...rotated].flatMap(([host, { through, last }]) =>
    [...through, last].map(({ state }) => {
      const sends = [...new Set(state.routes.map(({ link }) => link).filter((link) => link?.startsWith('sp-')))];
      const rules = renderState(state).match(/iifname vmap \{[^}]*\}/)?.[0] ?? '';
      const takes = state.links.map(({ name }) => name).filter((name) => rules.includes(`"${name}"`));
      const loose = state.links.every(({ name }) => state.sysctls.get(`net/ipv4/conf/${name}/rp_filter`) === '2');
      const key = state.devices.find(({ link }) => !link.endsWith('_'))?.publicKey;
      return [
        host,
        takes.join(),
        sends.join(),
        key === (host === 'edge' ? EDGE['sp-wg51820'] : NODE['sp-edge-node']) ? 'old' : 'new',
        loose,
      ];
    }),
  );
  const both = { edge: 'sp-wg51820,sp-wg51820_', node: 'sp-edge-node,sp-edge-node_' };
  expect(seen).toEqual([
    ['edge', both.edge, 'sp-wg51820', 'old', true],
    ['edge', both.edge, 'sp-wg51820_', 'old', true],
    ['edge', both.edge, 'sp-wg51820_', 'new', true],
    ['edge', both.edge, 'sp-wg51820', 'new', true],
    ['edge', 'sp-wg51820', 'sp-wg51820', 'new', false],
    ['node', both.node, 'sp-edge-node', 'old', true],
    ['node', both.node, 'sp-edge-node_', 'old', true],
    ['node', both.node, 'sp-edge-node_', 'new', true],
    ['node', both.node, 'sp-edge-node', 'new', true],
    ['node', 'sp-edge-node', 'sp-edge-node', 'new', true],
  ]);
});

test('each link knows the other end by the key that it has then, and the second one is dialled at a port of its own', () => {
  const facts = applied();
  const { ends } = rotatingEnds(facts, 'default', ['edge-node'], new Set());
  const [first, , third] = compileRotation(ends, facts, { version: '0', brief: false }).get('node')?.through ?? [];
  const peers = (stage: typeof first) =>
    stage?.state.devices.map(({ link, peers: [peer] }) => [
      link,
      peer?.publicKey,
      peer?.endpoint?.port,
      peer?.allowedIps.map(printPrefix).join(),
    ]);
  expect(peers(first)).toEqual([
    ['sp-edge-node', EDGE['sp-wg51820'], 51820, '0.0.0.0/0,::/0'],
    ['sp-edge-node_', EDGE['sp-wg51820_'], 51821, '0.0.0.0/0,::/0'],
  ]);
  expect(peers(third)?.[0]).toEqual(['sp-edge-node', EDGE['sp-wg51820.next'], 51820, '0.0.0.0/0,::/0']);
});

test('what is left at the end is what an apply with the new keys would make', () => {
  const facts = applied();
  const { ends } = rotatingEnds(facts, 'default', ['edge-node'], new Set());
  const rotated = compileRotation(ends, facts, { version: '0', brief: false });
  const { set } = loadResources([{ name: 'edge.yaml', text: SLIM_EDGE }]);
  const renewed = new Map(
    [...facts].map(([name, known]) => {
      const link = name === 'edge' ? 'sp-wg51820' : 'sp-edge-node';
      return [
        name,
        { ...known, keys: new Map([...known.keys, [link, known.keys.get(nextKey(link)) ?? expect.fail()]]) },
      ] as const;
    }),
  );
  const { hosts } = compile(set ?? expect.fail(), renewed, { setName: 'default', version: '0' });
  for (const [name, { last }] of rotated) {
    expect(renderState(last.state)).toBe(renderState(hosts.get(name)?.state ?? expect.fail()));
    expect(last.record).toEqual(hosts.get(name)?.record);
  }
});

test('a port for the second link is one that nobody has', () => {
  const taken = SLIM_EDGE.replace('ports:', 'ports:\n    - { protocol: UDP, port: 51821-51830 }');
  expect(taken).not.toBe(SLIM_EDGE);
  const facts = applied(taken);
  const { ends } = rotatingEnds(facts, 'default', ['edge-node'], new Set());
  expect(rotatingLinks(ends, facts).map(({ link, port }) => [link, port])).toEqual([
    ['sp-wg51820', 51831],
    ['sp-edge-node', undefined],
  ]);
});

test('a tunnel whose other end is not there, is by hand, or has no key yet', () => {
  const facts = applied();
  const alone = new Map([...facts].filter(([name]) => name === 'edge'));
  expect(rotatingEnds(alone, 'default', ['edge-node'], new Set()).refused).toEqual([
    expect.stringMatching(
      /^Tunnel edge-node: its end node does not answer or is not among the documents, .*"--by-hand node"/,
    ),
  ]);
  const byHand = rotatingEnds(alone, 'default', ['edge-node'], new Set(['node']));
  expect([byHand.refused, byHand.ends.map(({ host, far }) => [host, far])]).toEqual([[], [['edge', { host: 'node' }]]]);
  expect(rotatingEnds(new Map([['edge', edge()]]), 'default', ['edge-node'], new Set()).refused).toEqual([
    'Tunnel edge-node stands on no host that answers: apply first',
  ]);
});
