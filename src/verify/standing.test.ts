import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Address, printAddress } from '../net/index.ts';
import {
  accept,
  address,
  baseChain,
  type ConntrackEntry,
  ct,
  drop,
  flags,
  match,
  number,
  payload,
  prefix,
  range,
  readConntrack,
  rule,
  type Statement,
  type Table,
} from '../nftables/index.ts';
import { type Socket, simulate } from '../simulate/index.ts';
import { futureNetwork } from './future.ts';
import { type Promised, type Seen, verifyPlan } from './index.ts';
import { kindsOf } from './kinds.ts';
import { planned, unkept } from './testdata/plan.ts';
import { at, edge, forwardText, node, SLIM_EDGE, WEB } from './testdata/sketch.ts';

const GO_ON = 'the connections that it tracks go on';
const LISTENS = 'who listens on it is reached as before';

/** As `conntrack -L -o extended` has it. */
const session = (from: string, sourcePort: number, to: string, port: number): string =>
  `ipv4     2 tcp      6 431999 ESTABLISHED src=${from} dst=${to} sport=${sourcePort} dport=${port} ` +
  `src=${to} dst=${from} sport=${port} dport=${sourcePort} [ASSURED] mark=0 use=1`;

/** A stateful firewall of somebody's: conntrack runs before anything of ours is there. */
const stateful = (...more: readonly (readonly Statement[])[]): Table => ({
  ...{ family: 'ip', name: 'theirs', sets: [], maps: [], opaque: [] },
  chains: [
    {
      ...baseChain('in', { type: 'filter', hook: 'input', priority: 0 }),
      rules: [
        rule(match(ct('state'), 'in', flags('established', 'related')), accept),
        ...more.map((statements) => rule(...statements)),
      ],
    },
  ],
});

const seen = (lines: readonly string[], sockets: Seen['sockets'] = new Map()): Seen => ({
  sockets,
  entries: new Map([
    ['edge', readConntrack(lines.join('\n'))],
    ['node', []],
  ]),
});

const behind = (target: string): string =>
  forwardText('theirs', 'edge', ['protocol: TCP, port: 80'], `{ host: node, via: edge-node, address: ${target} }`);

const onEdge = (promises: readonly Promised[], promise: string) =>
  promises.find((each) => each.resource === 'Host/edge' && each.promise === promise);

describe('connections that stand', () => {
  const told = (text: string, lines: readonly string[]) =>
    verifyPlan({
      ...planned(SLIM_EDGE + text, { edge: edge({ tables: [stateful()] }), node: node() }),
      seen: seen(lines),
    });
  const ssh = [1, 2, 3].map((at) => session('203.0.113.200', 50_000 + at, '198.51.100.10', 22));

  test('go on under a sound plan, those by a port that a forward takes among them', () => {
    const promises = told(WEB, [...ssh, session('203.0.113.200', 50_000, '198.51.100.10', 80)]);
    expect(unkept(promises)).toEqual([]);
    expect(onEdge(promises, GO_ON)).toMatchObject({ holds: true });
  });

  test('are named where a route takes their answers away, with the route in the trace', () => {
    const { holds, reason, trace } = onEdge(told(behind('203.0.113.200'), ssh), GO_ON) ?? {};
    expect(holds).toBe(false);
    expect(reason).toMatch(
      /^203\.0\.113\.200:50001 → 198\.51\.100\.10:22\/tcp, which stands now, would break: .*; so would 2 more$/,
    );
    expect(JSON.stringify(trace)).toContain('203.0.113.200/32 dev sp-wg51820');
  });

  test('of which nothing is known leave the promise open, where the host tracks any', () => {
    const plan = planned(SLIM_EDGE + WEB, { edge: edge({ tables: [stateful()] }), node: node() });
    const entries = new Map([
      ['edge', 'there is no conntrack'],
      ['node', 'there is no conntrack'],
    ]);
    const promises = verifyPlan({ ...plan, seen: { sockets: new Map(), entries } });
    expect(unkept(promises)).toEqual([
      `Host/edge: ${GO_ON}: undecided: which connections edge tracks is not known: there is no conntrack`,
    ]);
  });

  test('twenty thousand of them are a few kinds', () => {
    const lines = Array.from({ length: 20_000 }, (_, n) =>
      session(`203.0.${n >> 16}.${(n >> 8) & 0xff}`, 1024 + (n % 60_000), '198.51.100.10', [22, 443][n % 2] ?? 22),
    );
    const entries = readConntrack(lines.join('\n'));
    const plan = planned(SLIM_EDGE + WEB, { edge: edge({ tables: [stateful()] }), node: node() });
    const kindOf = kindsOf([futureNetwork(plan.set, plan.compiled, plan.facts)]);
    expect(new Set(entries.map((each) => kindOf('edge', each))).size).toBeLessThan(100);
    expect(
      onEdge(verifyPlan({ ...plan, seen: { sockets: new Map(), entries: new Map([['edge', entries]]) } }), GO_ON),
    ).toMatchObject({ holds: true });
  });
});

test('of two connections of one kind the fate is the same', () => {
  const v4 = fc.integer({ min: 0, max: 0xff }).map((low): Address => ({ family: 4, value: 0xcb007100n + BigInt(low) }));
  const port = fc.integer({ min: 0, max: 40 });
  const condition = fc.oneof(
    v4.map((each) => match(payload('ip', 'saddr'), '==', address(each))),
    fc.tuple(v4, fc.integer({ min: 24, max: 32 })).map(([each, length]) => {
      const bits = BigInt(32 - length);
      const network = { address: { ...each, value: (each.value >> bits) << bits }, length };
      return match(payload('ip', 'saddr'), '==', prefix(network));
    }),
    port.map((each) => match(payload('tcp', 'dport'), '==', number(each))),
    fc
      .tuple(port, port)
      .filter(([first, last]) => first < last)
      .map(([first, last]) => match(payload('tcp', 'sport'), '==', range(number(first), number(last)))),
  );
  const rules = fc.array(fc.array(condition, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 6 });
  const flow = fc.tuple(v4, port, port);
  let alike = 0;
  fc.assert(
    fc.property(rules, fc.array(flow, { minLength: 30, maxLength: 30 }), (all, flows) => {
      const guard = stateful(...all.map((conditions) => [...conditions, drop]));
      const plan = planned(SLIM_EDGE + WEB, { edge: edge({ tables: [guard] }), node: node() });
      const network = futureNetwork(plan.set, plan.compiled, plan.facts);
      const kindOf = kindsOf([network]);
      const fates = new Map<string, string>();
      for (const [source, sourcePort, destinationPort] of flows) {
        const [entry] = readConntrack(session(printAddress(source), sourcePort, '198.51.100.10', destinationPort));
        const kind = kindOf('edge', entry as ConntrackEntry);
        const from = { kind: 'beyond', host: 'edge', link: 'eth0', address: source } as const;
        const { request, works } = simulate(network, {
          ...{ from, to: at('198.51.100.10'), port: destinationPort, protocol: 'tcp', sourcePort },
        });
        const fate = `${request.verdict} ${works}`;
        alike += fates.has(kind) ? 1 : 0;
        expect(fates.get(kind) ?? fate).toBe(fate);
        fates.set(kind, fate);
      }
    }),
    { numRuns: 60 },
  );
  expect(alike).toBeGreaterThan(50);
});

describe('who listens', () => {
  const web = { protocol: 'tcp', families: [4, 6], port: 80 } as const;
  const told = (sockets: readonly Socket[], tables: readonly Table[] = []) =>
    onEdge(
      verifyPlan({
        ...planned(SLIM_EDGE + WEB, { edge: edge({ tables }), node: node() }),
        seen: seen([], new Map([['edge', sockets]])),
      }),
      LISTENS,
    );

  test('at a port that a forward takes is named with the rule, at each address', () => {
    const { holds, reason } = told([web]) ?? {};
    expect(holds).toBe(false);
    expect(reason).toMatch(
      /^198\.51\.100\.10:80\/tcp, where somebody listens on edge: it would go to .* on node by inet sallyport sp_forwards: /,
    );
  });

  for (const [what, socket] of [
    ['at another port', { ...web, port: 8443 }],
    ['by the other protocol', { ...web, protocol: 'udp' }],
    ['at loopback', { ...web, families: [4], address: at('127.0.0.1') }],
    ['at an address that nobody can ask for', { ...web, families: [4], address: at('10.9.9.9') }],
  ] as const)
    test(`${what} is let alone`, () => expect(told([socket])?.holds).not.toBe(false));

  test('behind a firewall was not reached before', () => {
    const shut = stateful([match(payload('tcp', 'dport'), '==', number(80)), drop]);
    expect(told([{ ...web, families: [4] }], [shut])).toBeUndefined();
  });
});
