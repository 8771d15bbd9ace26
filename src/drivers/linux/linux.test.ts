import { setTimeout as sleep } from 'node:timers/promises';
import type { AcceptPlace } from '../../host/index.ts';
import { DAEMON_FILES } from '../../host/index.ts';
import { type Namespace, startNamespace } from '../../lab/index.ts';
import {
  type InterfaceAddress,
  parseAddress,
  parseEndpoint,
  parseInterfaceAddress,
  parsePrefix,
} from '../../net/index.ts';
import { accept, baseChain, counter, flowAdd, type RulesetObject, regularChain, rule } from '../../nftables/index.ts';
import type { HostChange, HostObject } from '../../plan/index.ts';
import type { Link, LinkAddress, Route, RoutingRule } from '../../routing/index.ts';
import { namespaceTransport, type Transport } from '../../transport/index.ts';
import { parsePublicKey } from '../../wireguard/index.ts';
import { adding, type DriverBench, driverContract } from '../contract.ts';
import { linuxDriver } from '../index.ts';

/** Somebody else's things, of every kind we write. */
const FOREIGN = `
echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode # no link-local addresses: they come a second late
ip link set lo up
ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up
ip addr add 198.51.100.10/24 dev v0; ip -6 addr add 2001:db8:e::10/64 dev v0 nodad
ip link add vx7 type vxlan id 77 dstport 8472
ip route add 10.7.0.0/16 via 198.51.100.1; ip route add default via 198.51.100.1 table 5001
ip -6 route add fd07::/64 via 2001:db8:e::1
ip rule add priority 5003 lookup 77; ip -6 rule add priority 5003 fwmark 0x10000/0xff0000 lookup 77
nft 'add table inet others; add chain inet others c { type filter hook forward priority 0; policy drop; }; add rule inet others c tcp dport 22 counter accept'
iptables-nft -A FORWARD -i v0 -j DROP; ip6tables-legacy -A FORWARD -p tcp --dport 22 -j ACCEPT; ip6tables-legacy -P FORWARD DROP
echo 1 >/proc/sys/net/ipv4/conf/v0/rp_filter
mkdir /etc/systemd/network; ln -s /dev/null /etc/systemd/network/00-sallyport.network`;

const DUMP = `
nft -s list ruleset; ip6tables-legacy-save | grep -v '^[#:]'; ip -d link; ip addr
for f in -4 -6; do ip $f rule; ip $f route show table all; done
wg show all | grep -v 'private key\\|transfer\\|handshake'
grep -rs '' /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/ip_forward
[ ! -d /run/sallyport ] || find /run/sallyport -type f ! -path '*/keys/*' -printf '%p %m\\n' -exec cat {} +
find /etc/systemd -printf '%p %m\\n' -type f -exec cat {} +`;

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a constant of the test is wrong');
  return value;
}

/** A lab with the network namespace `edge`, others' things in it, and a driver for it. */
async function startBench(foreign = FOREIGN): Promise<DriverBench> {
  const lab = await startNamespace();
  const into = ['nsenter', '--net=/run/netns/edge'];
  await lab.run(['ip', 'netns', 'add', 'edge']);
  await lab.run(['mount', '-t', 'tmpfs', 'tmpfs', '/etc/systemd']); // the machine's own stays out of it
  await lab.run([...into, 'sh', '-ec', foreign]);
  const entry = ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'];
  const heard: string[] = [];
  const plain = namespaceTransport('edge', 'edge', { entry });
  const transport = recording(plain, heard);
  const inside = async (text: string) => (await plain.run({ argv: ['sh', '-c', text] })).stdout;
  const folder = await transport.stateFolder();
  return {
    driver: linuxDriver(transport),
    dump: async () => (await inside(DUMP)).replaceAll(/^\d+: (?=.* mtu )/gm, ''),
    writes: (act) => watch(lab, into, act),
    async privateKeys() {
      const { stdout } = await lab.run(['sh', '-c', 'cat "$1"/keys/*.key', 'sh', folder]);
      return stdout.trim().split('\n');
    },
    async overheard(act) {
      // Reads the command lines of everything that runs, some hundred times a second.
      await using spy = await lab.spawn(['sh', '-c', 'while :; do cat /proc/[0-9]*/cmdline; done 2>/dev/null']);
      spy.stdout.on('data', (chunk: Buffer) => heard.push(chunk.toString()));
      await act();
      return heard.join('\n');
    },
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

/** Writes down everything that goes through `transport`. */
function recording(transport: Transport, heard: string[]): Transport {
  return {
    ...transport,
    async run(command, signal) {
      const output = await transport.run(command, signal);
      heard.push(JSON.stringify([command, output]));
      return output;
    },
    async runAll(commands, signal) {
      const outputs = await transport.runAll(commands, signal);
      heard.push(JSON.stringify([commands, outputs]));
      return outputs;
    },
    async writeFile(path, content, mode, options) {
      heard.push(content);
      await transport.writeFile(path, content, mode, options);
    },
  };
}

/** What `nft monitor` and `ip monitor` tell while `act` runs; each is awaited until it tells of a sign before and one after. */
async function watch(lab: Namespace, into: readonly string[], act: () => Promise<unknown>): Promise<readonly string[]> {
  await using nft = await lab.spawn([...into, 'nft', 'monitor']);
  await using ip = await lab.spawn([...into, 'ip', 'monitor', 'all']);
  let told = { nft: '', ip: '' };
  nft.stdout.on('data', (chunk: Buffer) => {
    told.nft += chunk.toString();
  });
  ip.stdout.on('data', (chunk: Buffer) => {
    told.ip += chunk.toString();
  });
  const sign = async (name: string, priority: number) => {
    for (
      const end = Date.now() + 5_000;
      !told.nft.includes(name) || !told.ip.includes(`${priority}:`);
      await sleep(20)
    ) {
      if (Date.now() > end) throw new Error('the monitors do not tell');
      await lab.run([
        ...into,
        'sh',
        '-c',
        'nft add table ip "$1"; nft delete table ip "$1"; ip rule add pref "$2" lookup 9; ip rule del pref "$2"',
        'sh',
        name,
        String(priority),
      ]);
    }
  };
  await sign('before', 31001);
  told = { nft: '', ip: '' };
  await act();
  await sign('after', 31002);
  return `${told.nft}\n${told.ip}`
    .split('\n')
    .filter((line) => line !== '' && !/before|after|3100[12]:|^# new generation|\[NEIGH\]/.test(line));
}

const prefix = (text: string) => must(parsePrefix(text));
const onLink = (link: string, text: string): LinkAddress => ({
  link,
  address: must<InterfaceAddress>(parseInterfaceAddress(text)),
  scope: 'global',
});

const vxlan: Link = {
  name: 'sp-vx',
  kind: 'vxlan',
  mtu: 1450,
  up: true,
  vxlan: {
    vni: 7,
    port: 4789,
    local: must(parseAddress('198.51.100.10')),
    remote: must(parseAddress('198.51.100.20')),
  },
};
const wireguard: Link = { name: 'sp-wg51820', kind: 'wireguard', mtu: 1420, up: true, alias: 'sallyport edge' };
const route: Route = {
  table: 254,
  destination: prefix('192.168.1.20/32'),
  type: 'unicast',
  link: 'v0',
  metric: 0,
  protocol: 83,
};
const route6: Route = { ...route, table: 5001, destination: prefix('::/0'), link: 'v0', metric: 1024 };
const routingRule: RoutingRule = {
  family: 4,
  priority: 5001,
  action: { kind: 'lookup', table: 5001 },
  mark: { value: 0x10000, mask: 0xff0000 },
  protocol: 83,
};
const suppress: RoutingRule = {
  family: 6,
  priority: 5000,
  action: { kind: 'lookup', table: 254, suppressPrefixLength: 0 },
  protocol: 83,
};
const KEY = must(parsePublicKey('xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg='));
const peer = {
  publicKey: KEY,
  endpoint: must(parseEndpoint('203.0.113.9:51820')),
  allowedIps: [prefix('10.90.0.2/32'), prefix('fd90::2/128')],
  keepaliveSeconds: 25,
};
const DROP_IN = must(DAEMON_FILES.find(({ path }) => path.includes('networkd.conf.d')));
const UNMANAGED = must(DAEMON_FILES.find(({ path }) => path.endsWith('.network')));
const daemonFile = ({ path, content }: (typeof DAEMON_FILES)[number]) =>
  adding({ kind: 'file', path, mode: 0o644, content });
const nft = (object: RulesetObject): HostObject => ({ kind: 'nft', object });
const table = nft({ kind: 'table', family: 'inet', table: 'sallyport' });
const map = nft({
  kind: 'map',
  family: 'inet',
  table: 'sallyport',
  map: { name: 'sp_m', type: ['inet_service'], data: ['verdict'], flags: [], elements: [] },
});
const element = (port: number, chain: string) =>
  nft({
    kind: 'mapElement',
    family: 'inet',
    table: 'sallyport',
    map: 'sp_m',
    element: { key: { kind: 'number', value: port }, data: { kind: 'jump', chain } },
  });
const chain = (...rules: Parameters<typeof regularChain>[1][]) =>
  nft({ kind: 'chain', family: 'inet', table: 'sallyport', chain: regularChain('sp_c', ...rules) });
const hook = nft({
  kind: 'chain',
  family: 'inet',
  table: 'sallyport',
  chain: baseChain('sp_in', { type: 'filter', hook: 'input', priority: 10 }, rule(counter, accept)),
});
const flowtable = (...devices: readonly string[]) =>
  nft({
    kind: 'flowtable',
    family: 'inet',
    table: 'sallyport',
    flowtable: { name: 'sp_fast', priority: 0, devices, properties: ['counter'] },
  });
const fast = nft({
  kind: 'chain',
  family: 'inet',
  table: 'sallyport',
  chain: baseChain('sp_fast', { type: 'filter', hook: 'forward', priority: 0x7fff_ffff }, rule(flowAdd('sp_fast'))),
});
const device = (listenPort: number): HostObject => ({ kind: 'device', device: { link: wireguard.name, listenPort } });
const sysctl = (path: string, before: string, after: string): HostChange => ({
  action: 'change',
  before: { kind: 'sysctl', path, value: before },
  after: { kind: 'sysctl', path, value: after },
});
const change = (before: HostObject, after: HostObject): HostChange => ({ action: 'change', before, after });

const nftChain: AcceptPlace = { kind: 'nft', family: 'inet', table: 'others', chain: 'c' };
const FOREIGN_CHAINS: readonly AcceptPlace[] = [
  nftChain,
  { kind: 'iptables', family: 4, backend: 'nft', table: 'filter', chain: 'FORWARD' },
  { kind: 'iptables', family: 6, backend: 'legacy', table: 'filter', chain: 'FORWARD' },
];
const acceptAt = (place: AcceptPlace, behind: number, ...directions: readonly ('in' | 'out')[]): HostObject => ({
  kind: 'accept',
  accept: {
    place: { ...place, behind },
    traffic: directions.map((direction) => ({ kind: 'link', link: 'sp-vx', direction })),
  },
});

const withWireGuard = [adding({ kind: 'link', link: wireguard }), adding(device(51820))];

driverContract('linux', {
  start: startBench,
  links: ['sp-wg51820', 'sp-other'],
  samples: [
    {
      name: 'a VXLAN link',
      needs: [],
      add: [adding({ kind: 'link', link: vxlan })],
      change: [
        change(
          { kind: 'link', link: vxlan },
          { kind: 'link', link: { ...vxlan, mtu: 1400, up: false, alias: 'it is "ours"' } },
        ),
      ],
    },
    {
      name: 'a WireGuard link',
      needs: [],
      add: [adding({ kind: 'link', link: wireguard })],
      change: [change({ kind: 'link', link: wireguard }, { kind: 'link', link: { ...wireguard, mtu: 1380 } })],
    },
    {
      name: 'key, port and mark of a WireGuard link',
      needs: [],
      add: withWireGuard,
      change: [
        change(device(51820), { kind: 'device', device: { link: wireguard.name, listenPort: 51821, firewallMark: 7 } }),
      ],
    },
    {
      name: 'a peer',
      needs: withWireGuard,
      add: [adding({ kind: 'peer', link: wireguard.name, peer })],
      change: [
        change(
          { kind: 'peer', link: wireguard.name, peer },
          { kind: 'peer', link: wireguard.name, peer: { publicKey: KEY, endpoint: peer.endpoint, allowedIps: [] } },
        ),
      ],
    },
    {
      name: 'addresses',
      needs: [adding({ kind: 'link', link: vxlan })],
      add: [
        adding({ kind: 'address', address: onLink('sp-vx', '10.90.0.1/30') }),
        adding({ kind: 'address', address: onLink('sp-vx', 'fd90::1/64') }),
      ],
      change: [
        change(
          { kind: 'address', address: onLink('sp-vx', '10.90.0.1/30') },
          { kind: 'address', address: onLink('sp-vx', '10.90.0.5/30') },
        ),
      ],
    },
    {
      name: 'a route of each family',
      needs: [],
      add: [adding({ kind: 'route', route }), adding({ kind: 'route', route: route6 })],
      change: [
        change(
          { kind: 'route', route },
          { kind: 'route', route: { ...route, gateway: must(parseAddress('198.51.100.1')) } },
        ),
        change({ kind: 'route', route: route6 }, { kind: 'route', route: { ...route6, metric: 2000 } }),
      ],
    },
    {
      name: 'a routing rule of each family',
      needs: [],
      add: [adding({ kind: 'rule', rule: routingRule }), adding({ kind: 'rule', rule: suppress })],
      change: [change({ kind: 'rule', rule: routingRule }, { kind: 'rule', rule: { ...routingRule, priority: 5010 } })],
    },
    {
      name: 'sysctls',
      needs: [],
      add: [sysctl('net/ipv4/conf/v0/forwarding', '0', '1'), sysctl('net/ipv6/conf/v0/accept_ra', '1', '2')],
      change: [sysctl('net/ipv4/conf/v0/rp_filter', '1', '2')],
    },
    {
      name: 'the nft table with chains, a map and elements',
      needs: [adding(table)],
      add: [adding(map), adding(chain()), adding(hook), adding(element(80, 'sp_c'))],
      change: [change(chain(), chain(rule(counter, accept))), adding(element(443, 'sp_c'))],
    },
    {
      name: 'a flowtable, and a device of it',
      tags: ['vm-only'],
      needs: [adding({ kind: 'link', link: vxlan }), adding(table)],
      add: [adding(flowtable('sp-vx')), adding(fast)],
      change: [change(flowtable('sp-vx'), flowtable('sp-vx', 'v0'))],
    },
    {
      name: "accepts in another's chain, of nft and of both kinds of iptables",
      needs: [],
      add: FOREIGN_CHAINS.map((place) => adding(acceptAt(place, 1, 'out'))),
      change: FOREIGN_CHAINS.map((place) => change(acceptAt(place, 1, 'out'), acceptAt(place, 0, 'in', 'out'))),
    },
    {
      name: 'a file',
      needs: [],
      add: [adding({ kind: 'file', path: '/run/sallyport/of ours/x.json', mode: 0o600, content: '{"ü": 1}\n' })],
      change: [],
    },
    {
      name: 'a file of a network daemon',
      needs: [],
      add: [daemonFile(DROP_IN)],
      change: [],
    },
  ],
  severalSteps: [
    adding({ kind: 'rule', rule: routingRule }),
    sysctl('net/ipv4/conf/v0/forwarding', '0', '1'),
    adding({ kind: 'route', route }),
  ],
  refused: [
    {
      name: 'is a route by a gateway that is not there',
      changes: [
        adding({ kind: 'rule', rule: routingRule }),
        adding({ kind: 'route', route }),
        adding({ kind: 'rule', rule: suppress }),
        adding({ kind: 'route', route: route6 }),
        adding({ kind: 'route', route: { ...route, table: 5001, gateway: must(parseAddress('203.0.113.1')) } }),
      ],
    },
    {
      name: 'is the second half of a change',
      changes: [
        adding({ kind: 'route', route }),
        change({ kind: 'rule', rule: { ...routingRule, priority: 4711 } }, { kind: 'rule', rule: routingRule }),
      ],
    },
    {
      name: 'is a value of a sysctl',
      changes: [sysctl('net/ipv4/conf/v0/forwarding', '0', '1'), sysctl('net/ipv4/conf/v0/rp_filter', '1', 'loose')],
    },
    {
      name: 'is a sysctl of a link that is not there',
      changes: [sysctl('net/ipv4/conf/v0/forwarding', '0', '1'), sysctl('net/ipv4/conf/nolink/rp_filter', '1', '2')],
    },
    {
      name: 'is the nft transaction',
      changes: [
        adding({ kind: 'route', route }),
        sysctl('net/ipv4/conf/v0/forwarding', '0', '1'),
        { action: 'remove', before: element(80, 'sp_c') },
      ],
    },
    {
      name: 'is a link after the nft transaction',
      changes: [
        adding(table),
        adding(chain()),
        adding({ kind: 'link', link: vxlan }),
        adding({ kind: 'link', link: vxlan }),
      ],
    },
    {
      name: 'is a peer of a link that is not there',
      changes: [adding({ kind: 'route', route }), adding({ kind: 'peer', link: 'sp-gone', peer })],
    },
    {
      name: 'is an accept in a chain that is not there any more',
      changes: [adding(acceptAt(nftChain, 0, 'in')), adding(acceptAt({ ...nftChain, chain: 'gone' }, 0, 'in'))],
    },
    {
      name: 'is a file where there is no folder to be',
      changes: [
        adding({ kind: 'route', route }),
        adding({ kind: 'file', path: '/proc/x/y', mode: 0o600, content: '' }),
      ],
    },
    {
      name: 'is a file of a network daemon where somebody else has one of that name',
      changes: [adding({ kind: 'route', route }), daemonFile(UNMANAGED)],
    },
  ],
});
