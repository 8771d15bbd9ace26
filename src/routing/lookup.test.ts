/** lookupRoute against the kernel's own answer, `ip route get`, over random rules and routes. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Namespace, startNamespace } from '../lab/index.ts';
import {
  type Address,
  type Family,
  lookupPrefixes,
  networkOf,
  parseAddress,
  parsePrefix,
  printAddress,
  printPrefix,
} from '../net/index.ts';
import {
  ADDRESSES_COMMAND,
  addRouteArguments,
  addRuleArguments,
  checkReversePath,
  type Flow,
  indexRoutes,
  LINKS_COMMAND,
  lookupRoute,
  printBatchLine,
  REVERSE_PATH_SYSCTLS,
  type Route,
  type RouteIndex,
  type RouteResult,
  type RouteType,
  type RoutingRule,
  type RuleAction,
  readAddresses,
  readLinks,
  readRoutes,
  readRules,
  readSysctls,
  routesCommand,
  rulesCommand,
  SALLYPORT_PROTOCOL,
  type Sysctls,
  sysctlCommand,
} from './index.ts';

/** More by the environment, with the time they need. */
const RUNS = Number(process.env.SALLYPORT_RUNS ?? 20);

const LINKS = ['v0', 'v1', 'v2', 'v3'];
const setUp = `
link add v0 type veth peer name v1
link add v2 type veth peer name v3
link set v0 up
link set v1 up
link set v2 up
link set v3 up
link add off0 type vxlan id 1 remote 192.0.2.1 dstport 4789
addr add 10.0.0.1/24 dev v0
addr add 10.0.0.2/24 dev v0
addr add 10.0.1.1/24 dev v0
addr add 10.1.0.1/32 peer 10.1.0.2 dev v1
addr add 10.2.0.1/16 dev v2 scope link
addr add 10.3.0.1/24 dev off0
addr add fd00:0:0::1/64 dev v0 nodad
addr add fd00:0:1::1/64 dev v0 nodad preferred_lft 0 valid_lft forever
addr add fd00:1:0::1/48 dev v1 nodad
addr add 2001:db8::1/64 dev v1 nodad
addr add fd00:2:0::1/128 peer fd00:2::2 dev v2 nodad
addr add fd00:2:0::3/64 dev v3 nodad preferred_lft 0 valid_lft forever
`.trim();

let kernel: Namespace;
beforeAll(async () => {
  kernel = await startNamespace();
  const sysctls = ['ipv6.conf.default.accept_dad=0', 'ipv4.conf.all.forwarding=1', 'ipv6.conf.all.forwarding=1'];
  await kernel.run(['sysctl', '-qw', ...sysctls.map((sysctl) => `net.${sysctl}`)]);
  // Until the first rule is added, local and main are one table, which `ip route get` calls main.
  const part = 'rule add priority 9 lookup 100\nrule del priority 9\n';
  await kernel.run(['ip', '-batch', '-'], { stdin: `${setUp}\n${part}` });
});
afterAll(() => kernel[Symbol.asyncDispose]());

/** Few values, so that rules, routes and flows meet. */
const anyAddress = (family: Family): fc.Arbitrary<Address> =>
  fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3)).map(([a, b, c]) => {
    const text = family === 4 ? `10.${a}.${b}.${c}` : `fd00:${a}:${b}::${c}`;
    return parseAddress(text) ?? expect.fail(text);
  });
const lengths = { 4: [0, 8, 15, 16, 24, 31, 32], 6: [0, 8, 31, 32, 48, 64, 127, 128] } as const;
const anyPrefix = (family: Family) =>
  fc.record({ address: anyAddress(family), length: fc.constantFrom(...lengths[family]) }).map(networkOf);
const anyLink = fc.constantFrom(...LINKS);
const gatewayOf = { 4: '192.0.2.9', 6: 'fe80::9' } as const;

function anyRoute(family: Family): fc.Arbitrary<Route> {
  const gateway = parseAddress(gatewayOf[family]) ?? expect.fail();
  const onlink = family === 4 ? { onlink: true } : {};
  const byGateway = anyLink.map((link) => ({ type: 'unicast' as const, link, gateway, ...onlink }));
  const byLink = anyLink.map((link) => ({ type: 'unicast' as const, link }));
  const byTwo = fc
    .tuple(anyLink, anyLink)
    .filter(([left, right]) => left !== right)
    .map((links) => ({ type: 'unicast' as const, nexthops: links.map((link) => ({ link, gateway, ...onlink })) }));
  const nowhere = fc
    .constantFrom<RouteType>('blackhole', 'unreachable', 'prohibit', 'throw', 'throw')
    .map((type) => ({ type }));
  const local = fc.constant({ type: 'local' as const, link: 'lo' });
  return fc
    .record({
      common: fc.record({
        table: fc.constantFrom(100, 101, 102, 253, 254),
        destination: anyPrefix(family),
        metric: family === 4 ? fc.constantFrom(0, 10, 20) : fc.constantFrom(5, 10, 1024),
        protocol: fc.constant(SALLYPORT_PROTOCOL),
      }),
      way: fc.oneof(
        { weight: 4, arbitrary: byLink },
        { weight: 4, arbitrary: byGateway },
        byTwo,
        { weight: 2, arbitrary: nowhere },
        local,
      ),
    })
    .map(({ common, way }) => ({ ...common, ...way }));
}

function anyRule(family: Family): fc.Arbitrary<RoutingRule> {
  const table = fc.constantFrom(100, 101, 102, 253, 254);
  const action: fc.Arbitrary<RuleAction> = fc.oneof(
    { weight: 5, arbitrary: table.map((number) => ({ kind: 'lookup' as const, table: number })) },
    {
      weight: 3,
      arbitrary: fc
        .record({ table, suppressPrefixLength: fc.constantFrom(0, 8, 16, 24, 32) })
        .map((lookup) => ({ kind: 'lookup' as const, ...lookup })),
    },
    fc.integer({ min: 5, max: 12 }).map((priority) => ({ kind: 'goto' as const, priority })),
    fc.constantFrom({ kind: 'nop' }, { kind: 'unreachable' }, { kind: 'blackhole' }, { kind: 'prohibit' }),
  );
  return fc.record(
    {
      family: fc.constant(family),
      priority: fc.integer({ min: 1, max: 10 }),
      protocol: fc.constant(SALLYPORT_PROTOCOL),
      action,
      not: fc.constant(true),
      from: anyPrefix(family),
      to: anyPrefix(family),
      iif: fc.constantFrom('lo', 'v0', 'v1', 'absent'),
      oif: fc.constantFrom('v0', 'v2', 'absent'),
      mark: fc.record({ value: fc.constantFrom(0, 1, 0x80000001), mask: fc.constantFrom(1, 0xffffffff, 0x80000000) }),
    },
    { requiredKeys: ['family', 'priority', 'protocol', 'action'], noNullPrototype: true },
  );
}

/** A packet made here has an address of this host or none; one that came in has a source that is nowhere here. */
function anyFlow(family: Family): fc.Arbitrary<Flow> {
  const own = family === 4 ? ['10.0.0.1', '10.1.0.1', '10.2.0.1'] : ['fd00::1', 'fd00:1::1', '2001:db8::1'];
  const foreign = family === 4 ? '172.16.0.1' : 'fd00:3:3::77';
  const common = { destination: anyAddress(family), mark: fc.constantFrom(0, 1, 0x80000001) };
  const source = (texts: readonly string[]) =>
    fc.constantFrom(...texts).map((text) => parseAddress(text) ?? expect.fail(text));
  const partial: { requiredKeys: ('destination' | 'mark')[]; noNullPrototype: true } = {
    requiredKeys: ['destination', 'mark'],
    noNullPrototype: true,
  };
  return fc.oneof(
    { weight: 4, arbitrary: fc.record({ ...common, source: source(own) }, partial) },
    fc.record({ ...common, source: source(own), oif: fc.constantFrom('v0', 'v1', 'v2') }, partial),
    { weight: 4, arbitrary: fc.record({ ...common, source: source([foreign]), iif: anyLink }) },
  );
}

const flowWords = ({ destination, source, mark, iif, oif }: Flow): readonly string[] => [
  printAddress(destination),
  ...(source === undefined ? [] : ['from', printAddress(source)]),
  ...(iif === undefined ? [] : ['iif', iif]),
  ...(oif === undefined ? [] : ['oif', oif]),
  ...(mark === undefined ? [] : ['mark', String(mark)]),
];

/** The answers to a list of `ip route get`: JSON text, or the error. */
async function ask(family: Family, questions: readonly (readonly string[])[]): Promise<readonly string[]> {
  const stdin = questions.map((words) => printBatchLine(['route', 'get', ...words])).join('');
  const argv = ['ip', '-j', '-N', '-d', `-${family}`, '-force', '-batch', '-'];
  const { stdout, stderr } = await kernel.run(argv, { stdin, allowFailure: true });
  const errors = new Map<number, string>();
  let error = '';
  for (const line of stderr.split('\n')) {
    const failed = /^Command failed -:([0-9]+)$/.exec(line);
    if (failed === null) error = line;
    else errors.set(Number(failed[1]), error);
  }
  const answers = stdout.split('\n').filter((line) => line.trim() !== '');
  let next = 0;
  return questions.map((_, at) => errors.get(at + 1) ?? answers[next++] ?? expect.fail('an answer is missing'));
}

const ERRORS = {
  unreachable: /: (Network is unreachable|No route to host)$/,
  blackhole: /: Invalid argument$/,
  prohibit: /: Permission denied$/,
} as const;

/** What the kernel says of one flow, in the words of a RouteResult: first the route it found, then the packet's own way. */
function agree(family: Family, flow: Flow, result: RouteResult, fibmatch: string, get: string): void {
  if (result.kind === 'undecided') return;
  if (result.kind !== 'route' && result.kind !== 'local') {
    expect(fibmatch).toMatch(ERRORS[result.kind]);
    return;
  }
  const [found] = readRoutes(fibmatch, family);
  const [way] = readRoutes(get, family);
  expect({
    table: found?.table,
    destination: found && printPrefix(found.destination),
    metric: found?.metric,
    type: found?.type,
  }).toEqual({
    table: result.route.table,
    destination: printPrefix(result.route.destination),
    metric: result.route.metric,
    type: result.route.type,
  });
  if (result.kind === 'route') {
    const hops = (result.choices ?? [result]).map(({ link, gateway }) => ({ link, gateway }));
    expect(hops).toContainEqual({ link: way?.link, gateway: way?.gateway });
  }
  // Of several next hops the kernel may have taken another; a source given is not chosen.
  const chosenBySame = flow.source === undefined && (result.kind === 'local' || result.choices === undefined);
  if (chosenBySame) expect(result.source).toEqual(way?.source);
}

/** IPv4 refuses what comes in from an address that is its own (fib_validate_source): no answer of the lookup. */
const isMartian = (index: RouteIndex, { source, iif }: Flow): boolean =>
  source?.family === 4 &&
  iif !== undefined &&
  [...index.tables[4].values()].some((table) =>
    lookupPrefixes(table, source).some(({ value }) => value.some(({ type }) => type === 'local')),
  );

async function readIndex(from: Namespace, family: Family, sysctls: Sysctls = new Map()): Promise<RouteIndex> {
  return indexRoutes({
    sysctls,
    rules: readRules((await from.run(rulesCommand(family))).stdout, family),
    routes: readRoutes((await from.run(routesCommand(family))).stdout, family),
    addresses: readAddresses((await from.run(ADDRESSES_COMMAND)).stdout),
    links: readLinks((await from.run(LINKS_COMMAND)).stdout),
  });
}

async function replace(family: Family, rules: readonly RoutingRule[], routes: readonly Route[]): Promise<RouteIndex> {
  const old = readRules((await kernel.run(rulesCommand(family))).stdout, family);
  const clear = [
    ...old
      .filter(({ protocol }) => protocol === SALLYPORT_PROTOCOL)
      .map(() => `rule del protocol ${SALLYPORT_PROTOCOL}\n`),
    ...`route flush table all protocol ${SALLYPORT_PROTOCOL}\n`,
  ].join('');
  await kernel.run(['ip', `-${family}`, '-force', '-batch', '-'], { stdin: clear });
  // Some are refused (two alike, a jump backwards): what counts is what the kernel took, read back.
  const lines = [
    ...rules.map(addRuleArguments).map((words) => printBatchLine(words.filter((word) => word !== '-6'))),
    ...routes.map(addRouteArguments).map(([, , ...words]) => printBatchLine(['route', 'append', ...words])),
  ];
  await kernel.run(['ip', `-${family}`, '-force', '-batch', '-'], { stdin: lines.join(''), allowFailure: true });
  return readIndex(kernel, family);
}

for (const family of [4, 6] as const) {
  test(
    `IPv${family}: the kernel gives the same route, gateway, link, source and error`,
    async () => {
      const seen: Record<string, number> = {};
      await fc.assert(
        fc.asyncProperty(
          fc.array(anyRule(family), { maxLength: 8 }),
          fc.array(anyRoute(family), { maxLength: 25 }),
          fc.array(anyFlow(family), { minLength: 1, maxLength: 80, size: 'max' }),
          async (rules, routes, flows) => {
            const index = await replace(family, rules, routes);
            const answers = await ask(
              family,
              flows.flatMap((flow) => [['fibmatch', ...flowWords(flow)], flowWords(flow)]),
            );
            flows.forEach((flow, at) => {
              const result = lookupRoute(index, flow);
              seen[result.kind] = (seen[result.kind] ?? 0) + 1;
              const [fibmatch, get] = answers.slice(2 * at, 2 * at + 2);
              if (isMartian(index, flow) && fibmatch?.endsWith('Invalid argument')) return;
              try {
                agree(family, flow, result, fibmatch ?? '', get ?? '');
              } catch (error) {
                throw new Error(`route get ${flowWords(flow).join(' ')}: ${fibmatch} ${get}`, { cause: error });
              }
            });
          },
        ),
        { numRuns: RUNS },
      );
      // A model that knows nothing would agree with everything.
      const total = Object.values(seen).reduce((sum, count) => sum + count, 0);
      expect((seen.undecided ?? 0) / total).toBeLessThan(0.25);
      expect(seen.route).toBeGreaterThan(0);
      expect(seen.local).toBeGreaterThan(0);
      expect((seen.unreachable ?? 0) + (seen.blackhole ?? 0) + (seen.prohibit ?? 0)).toBeGreaterThan(0);
    },
    60_000 + RUNS * 500,
  );
}

test(
  'IPv4: the kernel lets in and keeps out the same packets by rp_filter',
  async () => {
    const seen: Record<string, number> = {};
    const asked = REVERSE_PATH_SYSCTLS.map((name) => `net/ipv4/conf/*/${name}`);
    const anyPacket = fc.record({
      ...{ destination: anyAddress(4), source: anyAddress(4), iif: anyLink },
      mark: fc.constantFrom(0, 1),
    });
    const anyMode = fc.record({ rp_filter: fc.nat(2), src_valid_mark: fc.nat(1), accept_local: fc.nat(1) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyRule(4), { maxLength: 5 }),
        fc.array(anyRoute(4), { maxLength: 25 }),
        fc.array(anyPacket, { minLength: 1, maxLength: 60, size: 'max' }),
        anyMode,
        fc.constantFrom('all', 'v0', 'v3'),
        async (rules, routes, flows, mode, link) => {
          await replace(4, rules, routes);
          const set = Object.entries(mode).map(([name, value]) => `net.ipv4.conf.${link}.${name}=${value}`);
          const unset = ['all', ...LINKS].flatMap((each) =>
            Object.keys(mode).map((name) => `net.ipv4.conf.${each}.${name}=0`),
          );
          await kernel.run(['sysctl', '-qw', ...unset, ...set]);
          const index = await readIndex(kernel, 4, readSysctls((await kernel.run(sysctlCommand(asked))).stdout));
          const answers = await ask(4, flows.map(flowWords));
          flows.forEach((flow, at) => {
            const forward = lookupRoute(index, flow);
            const check = checkReversePath(index, flow, forward);
            if (check.kind === 'undecided' || forward.kind === 'undecided') return;
            if (forward.kind !== 'route' && forward.kind !== 'local') return;
            const outcome = check.kind === 'refused' ? check.reason : check.kind;
            seen[outcome] = (seen[outcome] ?? 0) + 1;
            // EXDEV for rp_filter until Linux 6.13; later both are EINVAL.
            const refused = /: Invalid (argument|cross-device link)$/.test(answers[at] ?? '');
            expect([flowWords(flow), refused]).toEqual([flowWords(flow), check.kind === 'refused']);
          });
        },
      ),
      { numRuns: RUNS },
    );
    expect(Object.keys(seen).toSorted()).toEqual(['accepted', 'martian', 'rpFilter']);
  },
  60_000 + RUNS * 500,
);

test('an IPv4 prefix in main longer than the one in local is undecided while no rule was ever added', async () => {
  await using fresh = await startNamespace();
  const setUpFresh = 'link add v0 type veth peer name v1\nlink set v0 up\nroute add 127.1.0.0/16 dev v0\n';
  await fresh.run(['ip', '-batch', '-'], { stdin: setUpFresh });
  const flow = { destination: parseAddress('127.1.0.1') ?? expect.fail() };
  const get = async () => (await fresh.run(['ip', 'route', 'get', '127.1.0.1'])).stdout;
  expect(lookupRoute(await readIndex(fresh, 4), flow).kind).toBe('undecided');
  expect(await get()).toMatch(/^127.1.0.1 dev v0/);
  await fresh.run(['ip', '-batch', '-'], { stdin: 'rule add priority 9 lookup 100\n' });
  expect(lookupRoute(await readIndex(fresh, 4), flow).kind).toBe('local');
  expect(await get()).toMatch(/^local 127.1.0.1 dev lo/);
});

test('each of ten thousand routes is found by the index', () => {
  const routes = Array.from(
    { length: 10_000 },
    (_, at): Route => ({
      ...{ table: 254, type: 'unicast', link: 'v0', metric: 0, protocol: 186 },
      destination: { address: { family: 4, value: BigInt(at) << 16n }, length: 16 },
    }),
  );
  const rule: RoutingRule = { family: 4, priority: 9, action: { kind: 'lookup', table: 254 }, protocol: 2 };
  const links = [{ name: 'v0', kind: 'ether', mtu: 1500, up: true }];
  const index = indexRoutes({ rules: [rule], routes, addresses: [], links });
  for (let at = 0; at < 10_000; at++) {
    const result = lookupRoute(index, { destination: { family: 4, value: (BigInt(at) << 16n) + 7n } });
    expect(result.kind === 'route' && result.route).toBe(routes[at]);
  }
});

test('rules by protocol and ports', () => {
  const [here, there] = ['192.0.2.0/24', '0.0.0.0/0'].map((text) => parsePrefix(text) ?? expect.fail(text));
  const link = { name: 'eth0', kind: 'ether', mtu: 1500, up: true } as const;
  const route = (table: number, destination: typeof here): Route => ({
    ...{ table, destination: destination ?? expect.fail(), type: 'unicast', link: 'eth0', metric: 0, protocol: 4 },
  });
  const rules = readRules(
    JSON.stringify([
      { priority: 10, src: 'all', ipproto: 'ipproto-17', dport_start: 5000, dport_end: 5001, table: '100' },
      { priority: 20, src: 'all', table: '254' },
    ]),
    4,
  );
  const index = indexRoutes({ rules, routes: [route(100, there), route(254, here)], addresses: [], links: [link] });
  const destination = parseAddress('192.0.2.7') ?? expect.fail();
  const priority = (transport?: Flow['transport']): unknown => {
    const result = lookupRoute(index, { destination, ...(transport && { transport }) });
    return result.kind === 'route' ? result.rule.priority : result.kind;
  };
  const ports = { sourcePort: 1, destinationPort: 5001 };
  expect(priority({ protocol: 17, ...ports })).toBe(10);
  expect(priority({ protocol: 6, ...ports })).toBe(20);
  expect(priority({ protocol: 17, ...ports, destinationPort: 5002 })).toBe(20);
  expect(priority()).toBe('undecided');
});

test("rules by user and tunnel key: a packet on its way through is root's and bears none", () => {
  const everywhere = parsePrefix('0.0.0.0/0') ?? expect.fail();
  const link = (name: string, kind = 'ether') => ({ name, kind, mtu: 1500, up: true });
  const rules = readRules(
    JSON.stringify([
      { priority: 10, src: 'all', tun_id: 5, table: '254' },
      { priority: 20, src: 'all', uid_start: 1, uid_end: 1000, table: '254' },
      { priority: 30, src: 'all', uid_start: 0, uid_end: 0, ipproto: 'tcp', table: '254' },
      { priority: 40, src: 'all', uid_start: 0, uid_end: 0, table: '254' },
      { priority: 50, src: 'all', table: '254' },
    ]),
    4,
  );
  const routes: readonly Route[] = [
    { table: 254, destination: everywhere, type: 'unicast', link: 'eth0', metric: 0, protocol: 4 },
  ];
  const index = indexRoutes({ rules, routes, addresses: [], links: [link('eth0'), link('vx', 'vxlan')] });
  const destination = parseAddress('192.0.2.7') ?? expect.fail();
  const transport = { protocol: 17, sourcePort: 1, destinationPort: 2 };
  const priority = (flow: Partial<Flow>): unknown => {
    const result = lookupRoute(index, { destination, transport, ...flow });
    return result.kind === 'route' ? result.rule.priority : result.kind;
  };
  expect(priority({ iif: 'eth0' })).toBe(40);
  expect(priority({ uid: 1000 })).toBe(20);
  expect(priority({ uid: 1001 })).toBe(50);
  expect(priority({})).toBe('undecided');
  expect(priority({ iif: 'vx' })).toBe('undecided');
});
