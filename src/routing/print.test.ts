/** `ip` is the judge of the words: what it prints of what it holds. */
import { expect, test } from 'vitest';
import { startNamespace } from '../lab/index.ts';
import {
  ADDRESSES_COMMAND,
  LINKS_COMMAND,
  printLink,
  printLinkAddress,
  printRoute,
  printRule,
  readAddresses,
  readLinks,
  readRoutes,
  readRules,
  routesCommand,
  rulesCommand,
} from './index.ts';

const setUp = `
link add name vx0 mtu 1400 up type vxlan id 42 local 10.0.0.1 remote 10.0.0.2 dstport 4789
link add name v0 type veth peer name v1
link set v0 up
addr add 10.0.0.1/24 dev v0
addr add 10.9.0.1 peer 10.9.0.2/32 dev v0
route add default via 10.0.0.254 dev v0 proto static
route add 10.1.0.0/16 via 10.0.0.3 dev v0 table 100 proto 83 metric 50 src 10.0.0.1
route add 10.2.0.0/16 via 9.9.9.9 dev v0 proto bird onlink
addr add fd00::1/64 dev v0 nodad
route add 10.5.0.0/16 via inet6 fd00::9 dev v0 proto static
route add unreachable 10.3.0.0/16 proto 83 metric 7
route add 10.4.0.0/16 proto static mtu 1300 nexthop via 10.0.0.3 dev v0 weight 2 nexthop via 10.0.0.4 dev v0
rule add priority 100 not from 10.0.0.0/8 to 1.2.3.4/32 fwmark 0x10000/0xff0000 iif v0 oif v1 lookup 100 proto 83
rule add priority 101 lookup main suppress_prefixlength 0
rule add priority 102 fwmark 7 goto 200
rule add priority 103 blackhole proto 83
rule add priority 200 nop
`.trim();

test('routes and rules read as ip prints them', async () => {
  await using kernel = await startNamespace();
  await kernel.run(['ip', '-batch', '-'], { stdin: `${setUp}\n` });
  const text = async (argv: readonly string[]) => (await kernel.run(argv)).stdout;
  const lines = async (argv: readonly string[]) => (await text(argv)).split('\n').filter((line) => line.trim() !== '');
  /** Without what is said of the link and follows from the rest, and with one space. */
  const plain = (line: string) =>
    line
      .replaceAll(/ (linkdown|scope \w+|dead)\b/g, '')
      .replaceAll(/\s+/g, ' ')
      .trim();

  const routes = readRoutes(await text(routesCommand(4)), 4).filter(({ table }) => table !== 255);
  const shown = (await text(['ip', '-4', 'route', 'show', 'table', 'all']))
    .replaceAll('\n\t', ' ')
    .split('\n')
    .map(plain);
  for (const route of routes) expect(shown).toContain(printRoute(route).replace('/32 ', ' '));
  expect(routes).toHaveLength(8); // those of the two addresses included

  const rules = readRules(await text(rulesCommand(4)), 4);
  const rulesShown = (await lines(['ip', 'rule', 'show'])).map(plain);
  expect(rules.map((rule) => printRule(rule).replace('/32', '').replace(' proto kernel', ''))).toEqual(rulesShown);

  expect(readLinks(await text(LINKS_COMMAND)).map(printLink)).toContain(
    'vx0 vxlan id 42 local 10.0.0.1 remote 10.0.0.2 dstport 4789 mtu 1400 up',
  );
  const addresses = readAddresses(await text(ADDRESSES_COMMAND)).map(printLinkAddress);
  expect(addresses).toContain('10.0.0.1/24 dev v0');
  expect(addresses).toContain('10.9.0.1 peer 10.9.0.2/32 dev v0');
  expect(addresses).toContain('127.0.0.1/8 dev lo scope host');
});

test('what is not modelled is said too', () => {
  const [rule] = readRules('[{"priority":9,"src":"all","ipproto":"tcp","dport":80,"table":"100"}]', 4);
  expect(rule && printRule(rule)).toBe('9: from all ipproto tcp dport 80 lookup 100');
  const [vrf] = readRules('[{"priority":1000,"l3mdev":null,"protocol":"2"}]', 6);
  expect(vrf && printRule(vrf)).toBe('1000: from all {"l3mdev":null} proto kernel');
  const [route] = readRoutes('[{"dst":"default","dev":"v0","tos":"0x10","table":"7","scope":"253"}]', 4);
  expect(route && printRoute(route)).toBe('default dev v0 table 7 proto unspec tos 0x10');
});
