/** The source address the kernel chooses for a packet that has none, over random addresses; `ip route get` is the judge. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Namespace, startNamespace } from '../lab/index.ts';
import { type Family, parseAddress, parseInterfaceAddress, printAddress } from '../net/index.ts';
import {
  ADDRESSES_COMMAND,
  indexRoutes,
  LINKS_COMMAND,
  type LinkAddress,
  lookupRoute,
  type Route,
  type RoutingTables,
  readAddresses,
  readLinks,
  readRoutes,
  readRules,
  routesCommand,
  rulesCommand,
  type Sysctls,
} from './index.ts';

/** More by the environment, with the time they need. */
const RUNS = Number(process.env.SALLYPORT_RUNS ?? 8);

const LINKS = ['v0', 'v1', 'v2', 'v3', 'off0'];
const setUp = `
link add v0 type veth peer name v1
link add v2 type veth peer name v3
link add name off0 type vxlan id 1 remote 192.0.2.1 dstport 4789
link set v0 up
link set v1 up
link set v2 up
link set v3 up
rule add priority 9 lookup 100
`.trim();

let kernel: Namespace;
beforeAll(async () => {
  kernel = await startNamespace();
  await kernel.run(['sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0']);
  await kernel.run(['ip', '-batch', '-'], { stdin: `${setUp}\n` });
});
afterAll(() => kernel[Symbol.asyncDispose]());

const anyLink = fc.constantFrom(...LINKS);
const any4 = fc.tuple(fc.nat(2), fc.nat(2), fc.nat(4)).map(([a, b, c]) => `10.${a}.${b}.${c + 1}`);
const networks = [
  'fe80::',
  'fd00::',
  'fd01:1::',
  '2001:db8::',
  '2001:db8:1::',
  '2002:102:304::',
  '2001:0:1::',
  'fec0::',
  '2400:1::',
];
const any6 = fc.tuple(fc.constantFrom(...networks), fc.nat(4)).map(([network, host]) => `${network}${host + 1}`);

const addressLine4 = fc
  .record({
    link: anyLink,
    address: any4,
    length: fc.constantFrom(8, 16, 24, 31, 32),
    peer: fc.option(any4, { freq: 5 }),
    scope: fc.constantFrom('global', 'global', 'link', 'site', 'host'),
  })
  .map(({ link, address, length, peer, scope }) =>
    peer === null
      ? `addr add ${address}/${length} dev ${link} scope ${scope}`
      : `addr add ${address} peer ${peer}/${length} dev ${link} scope ${scope}`,
  );
const addressLine6 = fc
  .record({ link: anyLink, address: any6, length: fc.constantFrom(16, 48, 64, 128), deprecated: fc.boolean() })
  .map(({ link, address, length, deprecated }) => {
    const end = deprecated ? ' preferred_lft 0 valid_lft forever' : '';
    return `addr add ${address}/${length} dev ${link} nodad${end}`;
  });

const read = async (argv: readonly string[]) => (await kernel.run(argv)).stdout;
const tables = async (family: Family): Promise<RoutingTables> => ({
  rules: readRules(await read(rulesCommand(family)), family),
  routes: readRoutes(await read(routesCommand(family)), family),
  addresses: readAddresses(await read(ADDRESSES_COMMAND)),
  links: readLinks(await read(LINKS_COMMAND)),
});

for (const family of [4, 6] as const) {
  const anyAddress = family === 4 ? fc.oneof(any4, fc.constantFrom('192.0.2.7', '127.0.0.1')) : any6;
  const gateway = family === 4 ? any4 : fc.constant('fe80::77');
  test(
    `IPv${family}: the kernel chooses the same source`,
    async () => {
      let compared = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(family === 4 ? addressLine4 : addressLine6, { maxLength: 10 }),
          fc.constantFrom('v0', 'v1', 'v2'),
          fc.option(gateway),
          fc.array(anyAddress, { minLength: 15, maxLength: 30, size: 'max' }),
          async (lines, link, via, destinations) => {
            const way = via === null ? '' : `via ${via} ${family === 4 ? 'onlink' : ''}`;
            const change = [
              ...[...LINKS, 'lo'].map((name) => `addr flush dev ${name} scope global`),
              ...LINKS.flatMap((name) =>
                ['link', 'site', 'host'].map((scope) => `addr flush dev ${name} scope ${scope}`),
              ),
              'route flush table 100',
              ...lines,
              `route add default ${way} dev ${link} table 100`,
            ];
            await kernel.run(['ip', `-${family}`, '-force', '-batch', '-'], {
              stdin: change.map((line) => `${line}\n`).join(''),
              allowFailure: true, // some addresses are refused, a gateway may be our own; what stands is read back
            });
            const index = indexRoutes(await tables(family));
            for (const text of destinations) {
              const destination = parseAddress(text) ?? expect.fail(text);
              const result = lookupRoute(index, { destination });
              const get = ['ip', '-j', '-N', '-d', `-${family}`, 'route', 'get', text];
              const answer = await kernel.run(get, { allowFailure: true });
              if (answer.status !== 0 || (result.kind !== 'route' && result.kind !== 'local')) continue;
              const [way] = readRoutes(answer.stdout, family);
              compared++;
              expect([text, result.source && printAddress(result.source)]).toEqual([
                text,
                way?.source && printAddress(way.source),
              ]);
            }
          },
        ),
        { numRuns: RUNS },
      );
      // Whole runs may have nothing to compare; 120 questions and more never have.
      expect(compared).toBeGreaterThan(5);
    },
    60_000 + RUNS * 2_000,
  );
}

describe('a privacy address', () => {
  const own = (text: string, rest: Partial<LinkAddress> = {}): LinkAddress => ({
    ...{ link: 'eth0', scope: 'global', address: parseInterfaceAddress(text) ?? expect.fail(text) },
    ...rest,
  });
  const route: Route = {
    ...{ table: 254, type: 'unicast', link: 'eth0', metric: 1024, protocol: 9 },
    destination: { address: { family: 6, value: 0n }, length: 0 },
  };
  const addresses = [own('2001:db8::1/64'), own('2001:db8::abcd/64', { temporary: true, dynamic: true })];
  const source = (sysctls: Sysctls, among = addresses): string | undefined => {
    const index = indexRoutes({
      rules: [{ family: 6, priority: 32766, action: { kind: 'lookup', table: 254 }, protocol: 2 }],
      routes: [route],
      addresses: among,
      links: [{ name: 'eth0', kind: 'ether', mtu: 1500, up: true }],
      sysctls,
    });
    const result = lookupRoute(index, { destination: parseAddress('2400::1') ?? expect.fail() });
    return result.kind === 'route' && result.source ? printAddress(result.source) : undefined;
  };
  for (const [name, value, expected] of [
    ['is taken where use_tempaddr is 2', '2', '2001:db8::abcd'],
    ['is not where it is 1', '1', '2001:db8::1'],
    ['is not known to be where nobody looked', undefined, undefined],
  ] as const) {
    test(name, () =>
      expect(source(new Map(value === undefined ? [] : [['net/ipv6/conf/eth0/use_tempaddr', value]]))).toBe(expected),
    );
  }
  test('is no matter where something before it decides', () => {
    const deprecated = addresses.map((one, at) => (at === 1 ? { ...one, deprecated: true } : one));
    expect(source(new Map(), deprecated)).toBe('2001:db8::1');
  });
});
