import { describe, expect, test } from 'vitest';
import { type Address, parseAddress } from '../net/index.ts';
import {
  address,
  anonymousMap,
  assign,
  baseChain,
  concat,
  drop,
  evaluate,
  fib,
  join,
  lookup,
  mapElement,
  match,
  meta,
  notrack,
  number,
  type PacketContext,
  payload,
  prepareRuleset,
  type Rule,
  rule,
  text,
} from './index.ts';

const at = (written: string): Address => {
  const read = parseAddress(written);
  if (read === undefined) throw new TypeError(written);
  return read;
};
const [client, edge, target] = [at('192.0.2.7'), at('198.51.100.10'), at('10.0.0.1')];

const datagram: PacketContext = {
  ...{ family: 4, source: client, destination: edge, protocol: 17, mark: 0, iif: 'eth0' },
  ...{ sourcePort: 40_000, destinationPort: 53 },
  addressType: ({ value }) => (value === edge.value ? 'local' : 'unicast'),
  linkTowards: ({ value }) => (value === target.value ? 'sp-a' : value === edge.value ? '' : undefined),
};

function changed(rules: readonly Rule[], type: 'filter' | 'route' = 'filter', packet = datagram): unknown {
  const hook = type === 'route' ? 'output' : 'prerouting';
  const chains = [baseChain('c', { type, hook, priority: -300 }, ...rules)];
  const tables = [{ family: 'inet', name: 't', sets: [], maps: [], chains, opaque: [] }] as const;
  const result = evaluate(prepareRuleset(tables), { hook, type: 'filter' }, packet);
  return result.verdict === 'accept' ? result.changes : result.verdict === 'undecided' ? result.why : result.verdict;
}

const key = join(payload('ip', 'daddr'), payload('th', 'dport'));
const port = anonymousMap(mapElement(concat(address(edge), number(53)), number(5353)));

describe('what is written into a packet', () => {
  for (const [what, rules, changes] of [
    [
      'an address, and a port that a map gives',
      [
        rule(assign(payload('udp', 'dport'), lookup(key, port)), notrack),
        rule(assign(payload('ip', 'daddr'), address(target))),
      ],
      { notrack: true, rewritten: { destination: target, destinationPort: 5353 } },
    ],
    [
      'later rules see it',
      [
        rule(assign(payload('ip', 'daddr'), address(target))),
        rule(match(payload('ip', 'daddr'), '==', address(target)), assign(payload('th', 'sport'), 7)),
        rule(match(payload('udp', 'sport'), '==', 40_000), drop),
      ],
      { rewritten: { destination: target, sourcePort: 7 } },
    ],
    [
      'nothing where the map lacks it, and the rule ends',
      [
        rule(assign(payload('ip', 'daddr'), address(target))),
        rule(assign(payload('udp', 'dport'), lookup(key, port)), drop),
      ],
      { rewritten: { destination: target } },
    ],
    [
      'nothing into a header that the packet has not',
      [
        rule(assign(payload('tcp', 'dport'), 7), drop),
        rule(assign(payload('ip6', 'saddr'), address(at('fd00::1'))), drop),
      ],
      {},
    ],
    ['a datagram has a checksum', [rule(match(payload('udp', 'checksum'), '==', number(0)), drop)], {}],
    [
      'a source',
      [rule(assign(payload('ip', 'saddr'), address(target)), assign(payload('udp', 'sport'), 9))],
      { rewritten: { source: target, sourcePort: 9 } },
    ],
    [
      'anything else is not known',
      [rule(assign(payload('ip', 'ttl'), 1))],
      'what it changes is not modelled: inet t c: ip ttl set 1',
    ],
    [
      'a value that is not known',
      [rule(assign(payload('udp', 'dport'), meta('hour')))],
      'what it writes into the packet is not known: inet t c: udp dport set meta hour',
    ],
  ] as const)
    test(what, () => expect(changed(rules)).toEqual(changes));

  test('in a chain of type route the way is looked up again', () =>
    expect(changed([rule(assign(payload('ip', 'daddr'), address(target)))], 'route')).toEqual({
      ...{ rewritten: { destination: target }, reroute: true },
    }));
});

test('the link towards an address: its own has none, and where it is not known it matters', () => {
  const towards = [rule(match(fib('oifname', 'daddr'), '==', text('sp-a')), drop)];
  expect(changed(towards)).toEqual({});
  expect(changed(towards, 'filter', { ...datagram, destination: target })).toBe('drop');
  expect(changed(towards, 'filter', { ...datagram, destination: client })).toMatch(/^not modelled/);
});
