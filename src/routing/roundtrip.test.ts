/** The kernel is the judge: what our arguments add reads back as it was written, and is gone after their inverse. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Namespace, startNamespace } from '../lab/index.ts';
import { type Family, parseAddress, parseInterfaceAddress, parsePrefix } from '../net/index.ts';
import {
  ADDRESSES_COMMAND,
  addAddressArguments,
  addLinkArguments,
  addRouteArguments,
  addRuleArguments,
  changeLinkArguments,
  LINKS_COMMAND,
  type Link,
  type LinkAddress,
  ownRoutes,
  ownRules,
  printBatches,
  type Route,
  type RoutingRule,
  readAddresses,
  readLinks,
  readRoutes,
  readRules,
  removeAddressArguments,
  removeLinkArguments,
  removeRouteArguments,
  removeRuleArguments,
  routesCommand,
  rulesCommand,
  SALLYPORT_PROTOCOL,
  WORST_METRIC,
} from './index.ts';

let kernel: Namespace;
beforeAll(async () => {
  kernel = await startNamespace();
  // Else link-local addresses pass their check, and get their routes, in the middle of a test.
  await kernel.run(['sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0']);
  const setUp = [
    'link add v0 type veth peer name v1',
    'link set v0 up',
    'link set v1 up',
    'addr add 10.0.0.1/24 dev v0',
    'addr add fd00::1/64 dev v0 nodad',
  ];
  await kernel.run(['ip', '-batch', '-'], { stdin: setUp.map((line) => `${line}\n`).join('') });
});
afterAll(() => kernel[Symbol.asyncDispose]());

async function carryOut(...commands: readonly (readonly string[])[]): Promise<void> {
  for (const { argv, stdin } of printBatches(commands)) await kernel.run(argv, { stdin });
}

const stdoutOf = async (argv: readonly string[]): Promise<string> => (await kernel.run(argv)).stdout;
const routes = async (family: Family) => readRoutes(await stdoutOf(routesCommand(family)), family);
const rules = async (family: Family) => readRules(await stdoutOf(rulesCommand(family)), family);
const links = async () => readLinks(await stdoutOf(LINKS_COMMAND));
const addresses = async () => readAddresses(await stdoutOf(ADDRESSES_COMMAND));

const address = (text: string) => parseAddress(text) ?? expect.fail(text);
const prefix = (text: string) => parsePrefix(text) ?? expect.fail(text);
const interfaceAddress = (text: string) => parseInterfaceAddress(text) ?? expect.fail(text);

describe('a route reads back as written, and its removal leaves what stood before', () => {
  const usual = { type: 'unicast', protocol: SALLYPORT_PROTOCOL, metric: 0, table: 5001 } as const;
  const cases: readonly (readonly [string, Route])[] = [
    ['by a link', { ...usual, destination: prefix('10.1.0.0/16'), link: 'v0' }],
    ['by a gateway', { ...usual, destination: prefix('0.0.0.0/0'), link: 'v0', gateway: address('10.0.0.2') }],
    [
      'by a gateway off the link',
      { ...usual, destination: prefix('10.1.0.0/16'), link: 'v0', gateway: address('1.2.3.4'), onlink: true },
    ],
    [
      'with everything',
      {
        ...usual,
        destination: prefix('10.1.2.3/32'),
        link: 'v0',
        gateway: address('10.0.0.2'),
        metric: 77,
        source: address('10.0.0.1'),
        mtu: 1400,
        table: 254,
      },
    ],
    [
      'over an IPv6 gateway',
      { ...usual, destination: prefix('10.8.0.0/16'), link: 'v0', gateway: address('fd00::2'), table: 4294967295 },
    ],
    [
      'by two gateways',
      {
        ...usual,
        destination: prefix('10.9.0.0/16'),
        nexthops: [
          { gateway: address('10.0.0.2'), link: 'v0', weight: 3 },
          { gateway: address('9.9.9.9'), link: 'v0', onlink: true },
        ],
      },
    ],
    ['blackhole', { ...usual, type: 'blackhole', destination: prefix('10.2.0.0/16') }],
    ['unreachable', { ...usual, type: 'unreachable', destination: prefix('0.0.0.0/0'), metric: WORST_METRIC }],
    ['prohibit', { ...usual, type: 'prohibit', destination: prefix('10.2.0.0/16') }],
    ['throw', { ...usual, type: 'throw', destination: prefix('10.2.0.0/16') }],
    ['local', { ...usual, type: 'local', destination: prefix('10.2.0.0/16'), link: 'lo' }],
    ['IPv6 by a link', { ...usual, destination: prefix('fd01::/16'), link: 'v0', metric: 1024 }],
    [
      'IPv6 by a gateway',
      {
        ...usual,
        destination: prefix('::/0'),
        link: 'v0',
        gateway: address('fd00::2'),
        metric: 5,
        source: address('fd00::1'),
        mtu: 1400,
      },
    ],
    [
      'IPv6 by lo, the worst of all',
      { ...usual, destination: prefix('::/0'), link: 'lo', metric: WORST_METRIC, table: 254 },
    ],
    [
      'IPv4 by lo, the worst of all',
      { ...usual, destination: prefix('0.0.0.0/0'), link: 'lo', metric: WORST_METRIC, table: 254 },
    ],
    [
      'IPv6 by two gateways',
      {
        ...usual,
        destination: prefix('fd02::/16'),
        metric: 1024,
        nexthops: [
          { gateway: address('fd00::2'), link: 'v0' },
          { gateway: address('fd00::3'), link: 'v0', weight: 2 },
        ],
      },
    ],
    ['IPv6 unreachable', { ...usual, type: 'unreachable', destination: prefix('::/0'), metric: 4096 }],
    ['IPv6 blackhole', { ...usual, type: 'blackhole', destination: prefix('fd03::/16'), metric: 1024 }],
    ['IPv6 throw', { ...usual, type: 'throw', destination: prefix('fd03::/16'), metric: 1024 }],
  ];
  for (const [name, route] of cases) {
    test(name, async () => {
      const { family } = route.destination.address;
      const before = await routes(family);
      await carryOut(addRouteArguments(route));
      expect(ownRoutes(await routes(family))).toEqual([route]);
      await carryOut(removeRouteArguments(route));
      expect(await routes(family)).toEqual(before);
    });
  }
});

describe('a rule reads back as written, and its removal leaves what stood before', () => {
  const usual = { priority: 5001, protocol: SALLYPORT_PROTOCOL, action: { kind: 'lookup', table: 5001 } } as const;
  const cases: readonly (readonly [string, Omit<RoutingRule, 'family'>])[] = [
    ['lookup', usual],
    ['suppress', { ...usual, action: { kind: 'lookup', table: 254, suppressPrefixLength: 0 } }],
    ['by mark', { ...usual, mark: { value: 0x10000, mask: 0xff0000 } }],
    ['not by mark', { ...usual, not: true, mark: { value: 51820, mask: 0xffffffff } }],
    ['by mark 0', { ...usual, mark: { value: 0, mask: 0xff } }],
    ['by link', { ...usual, iif: 'v0', oif: 'absent.7' }],
    ['goto', { ...usual, action: { kind: 'goto', priority: 6000 } }],
    ['nop', { ...usual, action: { kind: 'nop' } }],
    ['unreachable', { ...usual, action: { kind: 'unreachable' } }],
    ['blackhole', { ...usual, action: { kind: 'blackhole' } }],
    ['prohibit', { ...usual, priority: 0, action: { kind: 'prohibit' } }],
  ];
  const selectors = {
    4: { from: prefix('10.0.0.0/8'), to: prefix('1.2.3.4/32') },
    6: { from: prefix('fd00::/8'), to: prefix('2001:db8::1/128') },
  };
  for (const family of [4, 6] as const) {
    for (const [name, rest] of [...cases, ['by prefix', { ...usual, ...selectors[family] }] as const]) {
      test(`IPv${family} ${name}`, async () => {
        const rule = { family, ...rest };
        const before = await rules(family);
        await carryOut(addRuleArguments(rule));
        expect(ownRules(await rules(family))).toEqual([rule]);
        await carryOut(removeRuleArguments(rule));
        expect(await rules(family)).toEqual(before);
      });
    }
  }

  test('both families in one list of commands', async () => {
    const both = [4, 6, 4, 6].map(
      (family, index) => ({ ...usual, family: family === 4 ? 4 : 6, priority: index }) as const,
    );
    await carryOut(...both.map(addRuleArguments));
    expect(ownRules([...(await rules(4)), ...(await rules(6))])).toEqual([0, 2, 1, 3].map((index) => both[index]));
    await carryOut(...both.map(removeRuleArguments));
    expect(ownRules([...(await rules(4)), ...(await rules(6))])).toEqual([]);
  });
});

describe('an address reads back as written, and its removal leaves what stood before', () => {
  const usual = { link: 'v0', scope: 'global' } as const;
  const cases: readonly (readonly [string, LinkAddress])[] = [
    ['IPv4', { ...usual, address: interfaceAddress('10.90.0.1/30') }],
    ['IPv4 of another scope', { ...usual, address: interfaceAddress('10.90.0.1/30'), scope: 'link' }],
    ['IPv4 with a peer', { ...usual, address: interfaceAddress('10.90.0.1/32'), peer: address('10.90.0.2') }],
    ['IPv6', { ...usual, address: interfaceAddress('fd90::1/64') }],
    ['IPv6 with a peer', { ...usual, address: interfaceAddress('fd90::1/128'), peer: address('fd90::2') }],
  ];
  for (const [name, added] of cases) {
    test(name, async () => {
      const before = await addresses();
      await carryOut(addAddressArguments(added));
      expect(
        (await addresses()).filter(
          (found) =>
            !before.some(
              (old) =>
                JSON.stringify(old.address.address.value.toString()) ===
                JSON.stringify(found.address.address.value.toString()),
            ),
        ),
      ).toEqual([added]);
      await carryOut(removeAddressArguments(added));
      expect(await addresses()).toEqual(before);
    });
  }
});

describe('a VXLAN link reads back as written, changes in place, and is gone', () => {
  for (const [name, local, remote] of [
    ['over IPv4', '10.0.0.1', '10.0.0.2'],
    ['over IPv6', 'fd00::1', 'fd00::2'],
  ] as const) {
    test(name, async () => {
      const vxlan = { vni: 42, local: address(local), remote: address(remote), port: 4790 };
      const link: Link = { name: 'sp-a.7', kind: 'vxlan', mtu: 1420, up: true, vxlan };
      const find = async () => (await links()).find((found) => found.name === link.name);
      await carryOut(addLinkArguments(link));
      expect(await find()).toMatchObject({ ...link, carrier: true });
      const changed = { ...link, mtu: 1400, up: false, alias: 'two "words"' };
      await carryOut(changeLinkArguments(link, changed));
      expect(await find()).toMatchObject(changed);
      await carryOut(changeLinkArguments(changed, link));
      expect(await find()).toMatchObject(link);
      expect(await find()).not.toHaveProperty('alias');
      await carryOut(removeLinkArguments(link));
      expect(await find()).toBeUndefined();
    });
  }
});
