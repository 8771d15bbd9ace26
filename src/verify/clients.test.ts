/** Clients and ports that rules, routes and sets of others tell apart: each kind is asked, and who is refused on purpose is told. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Address, addressScope, containsPort, parsePrefix, printAddress } from '../net/index.ts';
import {
  accept,
  address,
  baseChain,
  concat,
  drop,
  join,
  match,
  number,
  payload,
  prefix,
  range,
  rule,
  type Statement,
  setElement,
  setReference,
  type Table,
} from '../nftables/index.ts';
import { simulate } from '../simulate/index.ts';
import { futureNetwork } from './future.ts';
import { type Promised, verifyPlan } from './index.ts';
import { planned, unkept } from './testdata/plan.ts';
import { at, edge, forwardText, type HostSketch, node, SLIM_EDGE, WEB } from './testdata/sketch.ts';

const net = (text: string) => {
  const found = parsePrefix(text);
  if (found === undefined) throw new TypeError(text);
  return prefix(found);
};
const saddr = payload('ip', 'saddr');

/** A firewall of somebody's that ours cannot stand in: what it stops is stopped. */
const firewall = (rules: readonly (readonly Statement[])[], sets: Table['sets'] = []): Table => ({
  ...{ family: 'inet', name: 'theirs', maps: [], opaque: [], sets },
  chains: [
    {
      ...baseChain('late', { type: 'filter', hook: 'postrouting', priority: 0 }),
      rules: rules.map((statements) => rule(...statements)),
    },
  ],
});

const verified = (text: string, onEdge: Partial<HostSketch>): readonly Promised[] =>
  verifyPlan(planned(SLIM_EDGE + text, { edge: edge(onEdge), node: node() }));

const reachable = (promises: readonly Promised[]): Promised | undefined =>
  promises.find(({ promise }) => promise.startsWith('reachable from outside'));

const allowing = (...prefixes: readonly string[]): string =>
  WEB.replace('  to:\n', `  allow: [${prefixes.map((each) => `"${each}"`).join(', ')}]\n  to:\n`);

const banned = (elements: readonly Address[]): Table =>
  firewall(
    [[match(saddr, '==', setReference('bad')), drop]],
    [{ name: 'bad', type: ['ipv4_addr'], flags: [], elements: elements.map((each) => setElement(address(each))) }],
  );

describe('somebody is refused on purpose', () => {
  for (const [what, onEdge, except] of [
    [
      'by a rule for one address',
      { tables: [firewall([[match(saddr, '==', address(at('8.8.8.8'))), drop]])] },
      ['8.8.8.8: edge: inet theirs late: ip saddr 8.8.8.8 drop'],
    ],
    [
      'by a set, of which one is asked for all',
      { tables: [banned(['8.8.8.8', '9.9.9.9', '1.1.1.1'].map(at))] },
      ['1.1.1.1, 8.8.8.8 and more: edge: inet theirs late: ip saddr @bad drop'],
    ],
    [
      'by its prefix, in which the one lies that is asked before all others',
      { tables: [firewall([[match(saddr, '==', net('203.0.113.0/24')), drop]])] },
      ['203.0.113.0/24: edge: inet theirs late: ip saddr 203.0.113.0/24 drop'],
    ],
    [
      'by the port that it asks from',
      { tables: [firewall([[match(payload('udp', 'sport'), '==', range(number(0), number(1023))), drop]])] },
      ['from ports 1-1023: edge: inet theirs late: udp sport 0-1023 drop'],
    ],
  ] as const)
    test(`${what}: the promise holds, and names them`, () => {
      const promises = verified(WEB, onEdge);
      expect(unkept(promises)).toEqual([]);
      expect(reachable(promises)?.except).toEqual(except);
    });

  test('ten thousand that are banned are one kind', () => {
    const many = Array.from(
      { length: 10_000 },
      (_, index): Address => ({ family: 4, value: 0x5000_0000n + BigInt(index * 7) }),
    );
    const timed = (count: number) => {
      const begun = performance.now();
      const promises = verified(WEB, { tables: [banned(many.slice(0, count))] });
      return { promises, took: performance.now() - begun };
    };
    timed(10);
    const small = timed(10).took;
    const { promises, took } = timed(10_000);
    // Where the machine is shared the ratio tells more than the clock.
    expect(took).toBeLessThan(Math.max(small * 50, 1_000));
    expect(unkept(promises)).toEqual([]);
    expect(reachable(promises)?.except).toEqual([
      '80.0.0.0, 80.0.0.7 and more: edge: inet theirs late: ip saddr @bad drop',
    ]);
  });

  test('not everybody but a few', () => {
    const few = firewall([[match(saddr, '!=', net('203.0.113.0/24')), drop]]);
    expect(reachable(verified(WEB, { tables: [few] }))).toMatchObject({ holds: false });
  });

  test('not all of a prefix that is allowed by name; of one in it the promise says so', () => {
    const of = (text: string) =>
      reachable(
        verified(allowing('192.0.2.0/24', '8.8.8.0/24'), {
          tables: [firewall([[match(saddr, '==', net(text)), drop]])],
        }),
      );
    expect(of('8.8.8.0/24')).toMatchObject({ holds: false });
    expect(of('8.8.0.0/16')).toMatchObject({ holds: false });
    expect(of('8.8.8.7/32')).toMatchObject({ holds: true, except: [expect.stringMatching(/^8\.8\.8\.7: edge: /)] });
    expect(of('9.9.9.0/24')).toMatchObject({ holds: true });
    expect(of('9.9.9.0/24')?.except).toBeUndefined();
  });
});

test('a rule for one port in the middle of a range breaks the promise of the range', () => {
  const of = (port: number) => {
    const middle = firewall([[match(payload('udp', 'dport'), '==', number(port)), drop]]);
    return reachable(verified(WEB, { tables: [middle] }));
  };
  expect(of(30_050)).toMatchObject({ holds: false, reason: expect.stringContaining(':30050/udp') });
  expect(of(30_101)).toMatchObject({ holds: true });
});

describe('what is said of a promise is so of every client, at every port, from every port', () => {
  const v4 = fc
    .oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0x0808_0800, max: 0x0808_080f }))
    .map((value): Address => ({ family: 4, value: BigInt(value) }))
    .filter((each) => ['global', 'documentation'].includes(addressScope(each)));
  const few = fc.integer({ min: 0, max: 15 }).map((low): Address => ({ family: 4, value: 0x0808_0800n + BigInt(low) }));
  const port = fc.integer({ min: 30_000, max: 30_100 });
  const portRange = fc
    .tuple(port, port)
    .filter(([a, b]) => a < b)
    .map(([a, b]) => range(number(a), number(b)));
  const block = fc.tuple(few, fc.integer({ min: 28, max: 32 })).map(([{ value }, length]) => {
    const bits = BigInt(32 - length);
    return prefix({ address: { family: 4, value: (value >> bits) << bits }, length });
  });
  const condition = fc.oneof(
    few.map((each) => match(saddr, '==', address(each))),
    block.map((each) => match(saddr, '==', each)),
    block.map((each) => match(saddr, '!=', each)),
    port.map((each) => match(payload('udp', 'dport'), '==', number(each))),
    portRange.map((each) => match(payload('udp', 'dport'), '==', each)),
    portRange.map((each) => match(payload('udp', 'sport'), '==', each)),
    fc.constant(match(join(saddr, payload('udp', 'dport')), '==', setReference('pairs'))),
    // Of an answer.
    block.map((each) => match(payload('ip', 'daddr'), '==', each)),
    portRange.map((each) => match(payload('th', 'dport'), '==', each)),
  );
  const rules = fc.array(
    fc.tuple(fc.array(condition, { minLength: 1, maxLength: 3 }), fc.constantFrom(drop, drop, accept)),
    { minLength: 1, maxLength: 5 },
  );
  const pairs = fc.uniqueArray(fc.tuple(few, port), { maxLength: 4, selector: ([a, p]) => `${printAddress(a)} ${p}` });
  const clients = fc.array(fc.tuple(fc.oneof(few, v4), port, fc.oneof(port, fc.integer({ min: 1, max: 65_535 }))), {
    ...{ minLength: 60, maxLength: 60 },
  });

  test('as far as the model goes', () => {
    let [held, refused] = [0, 0];
    fc.assert(
      fc.property(rules, pairs, clients, (all, elements, asking) => {
        const table = firewall(
          all.map(([conditions, verdict]) => [...conditions, verdict]),
          [
            {
              ...{ name: 'pairs', type: ['ipv4_addr', 'inet_service'], flags: [] },
              elements: elements.map(([a, p]) => setElement(concat(address(a), number(p)))),
            },
          ],
        );
        const text = forwardText(
          'range',
          'edge',
          ['protocol: UDP, port: 30000-30100'],
          '{ host: node, via: edge-node }',
        );
        const plan = planned(SLIM_EDGE + text, { edge: edge({ tables: [table] }), node: node() });
        const promises = verifyPlan(plan).filter(({ resource }) => resource === 'PortForward/range');
        if (promises.some(({ holds }) => holds !== true)) return;
        held += 1;
        const network = futureNetwork(plan.set, plan.compiled, plan.facts);
        const except = promises.flatMap((each) => each.except ?? []);
        for (const [source, to, sourcePort] of asking) {
          const from = { kind: 'beyond', host: 'edge', link: 'eth0', address: source } as const;
          const { works } = simulate(network, { from, to: at('198.51.100.10'), port: to, protocol: 'udp', sourcePort });
          if (works === true) continue;
          refused += 1;
          const who = `${printAddress(source)}:${sourcePort} at ${to}`;
          expect(
            except.some((each) => isNamed(each, source, sourcePort)),
            `${who}, of ${except.join('; ')}`,
          ).toBe(true);
        }
      }),
      { numRuns: 120 },
    );
    expect(held).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(20);
  });

  /** Whether an exception may speak of a client: those it does not name one by one among them. */
  const isNamed = (except: string, source: Address, sourcePort: number): boolean => {
    const who = except.slice(0, except.indexOf(': edge'));
    if (who.includes('and more') || who.includes('and others')) return true;
    const ports = /from ports? (\d+)(?:-(\d+))?/.exec(who);
    const first = Number(ports?.[1]);
    if (ports !== null && !containsPort({ first, last: Number(ports[2] ?? first) }, sourcePort)) return false;
    const named = who.replace(/ ?from port.*/, '');
    return (
      named === '' ||
      named.split(', ').some((each) => {
        const found = parsePrefix(each.includes('/') ? each : `${each}/32`);
        return (
          found !== undefined &&
          source.value >> BigInt(32 - found.length) === found.address.value >> BigInt(32 - found.length)
        );
      })
    );
  };
});

test('what the edge itself asks is asked at each kind of port, too', () => {
  const silent = (port: number): Table => ({
    ...firewall([]),
    // Nobody but its owner can write there.
    opaque: [{ table: { flags: ['owner'] } }],
    chains: [
      {
        ...baseChain('own', { type: 'filter', hook: 'output', priority: 0 }),
        rules: [rule(match(payload('udp', 'dport'), '==', number(port)), drop)],
      },
    ],
  });
  const own = (port: number): Promised | undefined =>
    verified(WEB, { tables: [silent(port)] }).find(({ promise }) => promise.startsWith('reachable from edge itself'));
  expect(own(30_050)).toMatchObject({ holds: false, reason: expect.stringContaining('udp dport 30050 drop') });
  expect(own(30_101)).toMatchObject({ holds: true });
});
