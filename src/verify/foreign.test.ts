import { describe, expect, test } from 'vitest';
import { compile, declaredFacts } from '../compile/index.ts';
import {
  accept,
  address,
  baseChain,
  ct,
  drop,
  flags,
  jump,
  match,
  meta,
  number,
  payload,
  regularChain,
  rule,
  type Statement,
  type Table,
  text,
} from '../nftables/index.ts';
import { type Promised, verifyPlan } from './index.ts';
import { planned, unkept } from './testdata/plan.ts';
import { at, edge, forwardText, type HostSketch, hostText, node, SLIM_EDGE, WEB } from './testdata/sketch.ts';

const verified = (onEdge: Partial<HostSketch>, onNode: Partial<HostSketch> = {}): readonly Promised[] =>
  verifyPlan(planned(SLIM_EDGE + WEB, { edge: edge(onEdge), node: node(onNode) }));

const found = (promises: readonly Promised[], what: string): Promised => {
  const promise = promises.find((each) => `${each.resource}: ${each.promise}`.includes(what));
  if (promise === undefined) throw new Error(`nothing is promised of ${what}`);
  return promise;
};

const table = (name: string, ...chains: Table['chains']): Table => ({
  family: 'ip',
  name,
  sets: [],
  maps: [],
  chains,
  opaque: [],
});
const xt = (name: string): Statement => ({ kind: 'opaque', json: { xt: { type: 'match', name } } });

/** As dockerd leaves it with one published port. */
const docker = table(
  'filter',
  {
    ...baseChain('FORWARD', { type: 'filter', hook: 'forward', priority: 0 }),
    policy: 'drop',
    rules: [
      rule(jump('DOCKER-USER')),
      rule(match(meta('oifname'), '==', text('docker0')), xt('conntrack'), accept),
      rule(match(meta('iifname'), '==', text('docker0')), accept),
    ],
  },
  regularChain('DOCKER-USER'),
);

const DIRECT = `  type: Direct
  ends:
    - { host: edge, addresses: [172.31.0.1, "fd31::1"] }
    - { host: node, addresses: [172.31.0.2, "fd31::2"] }`;

const input = (...rules: Table['chains'][number]['rules']): Table =>
  table('guard', { ...baseChain('input', { type: 'filter', hook: 'input', priority: 0 }), policy: 'drop', rules });
const answers = rule(match(ct('state'), 'in', flags('established', 'related')), accept);

describe('rules of others on the way', () => {
  test("Docker's FORWARD policy drop, of which iptables-save tells nothing, breaks the forward, and is named", () => {
    const reachable = found(verified({ tables: [docker] }), 'reachable from outside');
    expect(reachable.holds).toBe(false);
    expect(reachable.reason).toContain('ip filter FORWARD: policy drop');
    expect(reachable.trace?.hops.at(-1)).toEqual({
      ...{ host: 'edge', stage: 'forward', detail: 'dropped' },
      decidedBy: 'ip filter FORWARD: policy drop',
    });
  });

  test('where it can be written into, the plan holds: in DOCKER-USER', () => {
    const readable: Table = {
      ...docker,
      origin: 'iptables-nft',
      chains: docker.chains.map((chain) => ({
        ...chain,
        rules: chain.rules.filter(({ statements }) => statements.every(({ kind }) => kind !== 'opaque')),
      })),
    };
    const plan = planned(SLIM_EDGE + WEB, { edge: edge({ tables: [readable] }), node: node() });
    expect(unkept(verifyPlan(plan))).toEqual([]);
    expect(plan.compiled.hosts.get('edge')?.state.accepts.map(({ place }) => place)).toEqual([
      { kind: 'iptables', family: 4, backend: 'nft', table: 'filter', chain: 'DOCKER-USER', behind: 0 },
    ]);
  });

  describe('a firewall that knows connections, before forwards that keep none', () => {
    const bare = WEB.replace('  to:\n', '  tracking: Stateless\n  to:\n');
    const direct = SLIM_EDGE.replace(/ {2}type: WireGuard[\s\S]*?---/, `${DIRECT}\n---`);
    const stateful = (...rules: Table['chains'][number]['rules']): Table => ({
      ...table('guard', { ...baseChain('f', { type: 'filter', hook: 'forward', priority: 0 }), policy: 'drop', rules }),
      family: 'inet',
    });
    const untracked = rule(match(ct('state'), 'in', flags('invalid', 'untracked')), drop);
    const open = rule(match(meta('iifname'), '==', text('eth0')), accept);
    const over = (text: string, guard: Table) => {
      const net = ['172.31.0.', 'fd31::'];
      const own = (host: number) => ({ priv0: [`${net[0]}${host}/24`, `${net[1]}${host}/64`] });
      const plan = planned(text + bare, {
        edge: edge({ tables: [guard], interfaces: { eth0: ['198.51.100.10/24', '2001:db8:e::10/64'], ...own(1) } }),
        node: node({ interfaces: { eth0: ['192.168.1.20/24', '2001:db8:1::20/64'], ...own(2) } }),
      });
      return { plan, promises: verifyPlan(plan) };
    };

    for (const [name, guard] of [
      ['lets answers pass that it has seen asked', stateful(open, answers)],
      ['drops what is not tracked', stateful(untracked, open, answers)],
    ] as const) {
      test(`${name}: a tunnel of ours is let through by its link`, () => {
        const { plan, promises } = over(SLIM_EDGE, guard);
        expect(unkept(promises)).toEqual([]);
        const accepts = plan.compiled.hosts.get('edge')?.state.accepts.flatMap(({ traffic }) => traffic);
        expect(accepts).toContainEqual({ kind: 'link', link: 'sp-wg51820', direction: 'in' });
      });
      test(`${name}: by a link of others nothing tells them apart, and the plan is refused`, () => {
        const { promises } = over(direct, guard);
        expect(promises.find(({ holds }) => holds === false)?.reason).toMatch(/in forward: inet guard f: /);
      });
    }
  });

  test('a firewall that lets in answers alone keeps the tunnel out where it is dialled, not where it dials', () => {
    const flagged = { ...input(answers), opaque: [{ table: { flags: ['owner'] } }] };
    const promises = verified({ tables: [flagged] }, { tables: [flagged] });
    expect(found(promises, 'edge lets in its packets at udp/51820').holds).toBe(false);
  });

  test('where ours can stand in it, both ends let in what is ours, and nothing more', () => {
    const plan = planned(SLIM_EDGE + WEB, {
      edge: edge({ tables: [input(answers)] }),
      node: node({ tables: [input(answers)] }),
    });
    expect(unkept(verifyPlan(plan))).toEqual([]);
    const [onEdge, onNode] = ['edge', 'node'].map((host) =>
      plan.compiled.hosts.get(host)?.state.accepts.flatMap(({ traffic }) => traffic),
    );
    expect(onEdge).toEqual([{ kind: 'outer', direction: 'in', protocol: 17, port: 51_820 }]);
    expect(onNode).toEqual([{ kind: 'link', link: 'sp-edge-node', direction: 'in' }]);
  });

  test('one that lets in the tunnel does not', () => {
    const open = input(answers, rule(match(payload('udp', 'dport'), '==', number(51_820)), accept));
    expect(found(verified({ tables: [open] }), 'edge lets in').holds).toBe(true);
  });

  test('one that lets in somebody alone may know from where the tunnel is dialled', () => {
    const who = match(payload('ip', 'saddr'), '==', address(at('192.0.2.99')));
    const home = input(answers, rule(who, match(payload('udp', 'dport'), '==', number(51_820)), accept));
    expect(found(verified({ tables: [home] }), 'edge lets in').holds).toBe('undecided');
  });

  test("a node's firewall that knows nothing of the target's port breaks the forward on the node", () => {
    const flagged = { ...input(answers), opaque: [{ table: { flags: ['owner'] } }] };
    const reachable = found(verified({}, { tables: [flagged] }), 'reachable from outside');
    expect(reachable).toMatchObject({ holds: false, reason: expect.stringContaining('node drops') });
  });

  test('a rule that is not understood is undecided where the packet meets it', () => {
    const unknown = table(
      'f',
      baseChain('x', { type: 'filter', hook: 'forward', priority: 0 }, rule(xt('recent'), drop)),
    );
    expect(found(verified({ tables: [unknown] }), 'reachable from outside').holds).toBe('undecided');
  });

  test('and is nothing where it does not', () => {
    const beside = rule(match(meta('iifname'), '==', text('docker0')), xt('recent'), drop);
    const unknown = table('f', baseChain('x', { type: 'filter', hook: 'forward', priority: 0 }, beside));
    expect(verified({ tables: [unknown] }).filter(({ holds }) => holds !== true)).toEqual([]);
  });

  test('a table that could not be listed leaves all of its family undecided', () => {
    const unlisted: Table = { ...table('t'), opaque: [{ unlisted: 'unknown expression' }] };
    expect(found(verified({ tables: [unlisted] }), 'reachable from outside').holds).toBe('undecided');
  });

  test('who forwarded a port before us on the same address is not lost to us without a word', () => {
    // Ours comes first: the first to translate wins.
    const other = table(
      'nat',
      baseChain(
        'PREROUTING',
        { type: 'nat', hook: 'prerouting', priority: -100 },
        rule({ kind: 'redirect', port: { kind: 'number', value: 9 }, flags: [] }),
      ),
    );
    expect(found(verified({ tables: [other] }), 'reachable from outside').holds).toBe(true);
    const earlier: Table = { ...other, chains: other.chains.map((chain) => ({ ...chain, priority: -300 })) };
    expect(found(verified({ tables: [earlier] }), 'reachable from outside')).toMatchObject({ holds: false });
  });
});

describe('rp_filter as it was measured (dataplane.md, section 5): local targets', () => {
  for (const [all, link, works] of [
    ['0', '0', true],
    ['1', '1', false],
    ['1', '2', true],
    ['2', '0', true],
  ] as const)
    test(`all=${all}, tunnel=${link}`, () => {
      const plan = planned(SLIM_EDGE + WEB, {
        edge: edge(),
        node: node({ sysctls: { 'net/ipv4/conf/all/rp_filter': all } }),
      });
      const host = plan.compiled.hosts.get('node');
      if (host === undefined) throw new Error('no node');
      const sysctls = new Map(host.state.sysctls).set('net/ipv4/conf/sp-edge-node/rp_filter', link);
      const hosts = new Map(plan.compiled.hosts).set('node', { ...host, state: { ...host.state, sysctls } });
      const promises = verifyPlan({ ...plan, compiled: { ...plan.compiled, hosts } });
      expect(found(promises, 'reachable from outside').holds).toBe(works);
    });
});

describe('what is not known', () => {
  const declared = `  interfaces:\n    - { name: eth0, zone: public, addresses: [198.51.100.10/24] }\n`;
  const set = SLIM_EDGE.replace(hostText('edge'), hostText('edge', declared)) + WEB;

  test('hosts that were only declared break no promise', () => {
    const { set: resources } = planned(set, { edge: edge(), node: node() });
    const facts = new Map([...resources.hosts.values()].map((host) => [host.name, declaredFacts(host)]));
    const compiled = compile(resources, facts, { setName: 'default', version: '0.0.0' });
    const promises = verifyPlan({ set: resources, compiled, facts });
    expect(promises.filter(({ holds }) => holds === false)).toEqual([]);
    expect(found(promises, 'reachable from outside').holds).toBe(true);
  });

  test('how a machine answers that is no host of ours', () => {
    const behind =
      SLIM_EDGE +
      forwardText('nas', 'edge', ['protocol: TCP, port: 80'], '{ host: node, via: edge-node, address: 192.168.1.30 }');
    const promises = verifyPlan(planned(behind, { edge: edge(), node: node() }));
    expect(found(promises, 'reachable from outside').holds).toBe(true);
    expect(found(promises, "the target sees the client's own address").holds).toBe(true);
    expect(found(promises, 'answers leave by edge')).toMatchObject({
      holds: 'undecided',
      reason: expect.stringContaining('192.168.1.30 answers is not known'),
    });
  });

  test('to a masquerading neighbour it answers', () => {
    const more = '  clientAddress: Masquerade\n';
    const behind =
      SLIM_EDGE +
      forwardText(
        'nas',
        'edge',
        ['protocol: TCP, port: 80'],
        '{ host: node, via: edge-node, address: 192.168.1.30 }',
        more,
      );
    const promises = verifyPlan(planned(behind, { edge: edge(), node: node() }));
    expect(promises.filter(({ holds }) => holds !== true)).toEqual([]);
  });

  test('a set that does not compile promises nothing', () => {
    const plan = planned(SLIM_EDGE + WEB, { edge: edge(), node: node() });
    const problem = { code: 'cannotBe', at: { file: 'a', line: 1, column: 1 }, path: 'spec', what: 'x' } as const;
    expect(verifyPlan({ ...plan, compiled: { ...plan.compiled, problems: [problem] } })).toEqual([]);
  });
});

test('10,000 forwards are proven in a second, in time that grows as they do', () => {
  const ports = (count: number): readonly string[] =>
    Array.from({ length: count }, (_, index) => `protocol: TCP, port: ${20_000 + index}, targetPort: ${1 + index}`);
  const timeOf = (count: number): number => {
    const plan = planned(SLIM_EDGE + forwardText('many', 'edge', ports(count), '{ host: node, via: edge-node }'), {
      edge: edge(),
      node: node(),
    });
    const begun = performance.now();
    expect(verifyPlan(plan).filter(({ holds }) => holds !== true)).toEqual([]);
    return performance.now() - begun;
  };
  timeOf(1_000);
  const small = timeOf(2_500);
  const large = timeOf(10_000);
  // Where the machine is shared the ratio tells more than the clock; bench measures.
  expect(large).toBeLessThan(Math.max(small * 10, 1_000));
});
