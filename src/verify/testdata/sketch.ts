/** Hosts for tests, as an observed fresh Linux shows them. */
import type { HostFacts } from '../../host/index.ts';
import { EMPTY_STATE } from '../../host/index.ts';
import { type Address, parseAddress, parseInterfaceAddress, parsePrefix, wholeFamily } from '../../net/index.ts';
import type { Table } from '../../nftables/index.ts';
import { type Link, type LinkAddress, MAIN_TABLE, readRules, type Route } from '../../routing/index.ts';
import { withKernelDefaults } from '../../simulate/index.ts';
import { parsePublicKey } from '../../wireguard/index.ts';

export interface HostSketch {
  /** By interface: addresses, `dynamic` after one that is leased. */
  readonly interfaces: Readonly<Record<string, readonly string[]>>;
  /** [prefix or default, gateway, link] */
  readonly routes?: readonly (readonly [string, string, string])[];
  /** Over the kernel's own. */
  readonly sysctls?: Readonly<Record<string, string>>;
  readonly keys?: Readonly<Record<string, string>>;
  /** As `ip -j rule` tells them, beside the kernel's own. */
  readonly rules?: string;
  /** Other people's. */
  readonly tables?: readonly Table[];
}

const must = <T>(value: T | undefined, text: string): T => {
  if (value === undefined) throw new TypeError(`cannot read ${text}`);
  return value;
};

export const at = (text: string): Address => must(parseAddress(text), text);

const SYSCTLS = { 'ipv4 forwarding': '0', 'ipv4 rp_filter': '0', 'ipv4 src_valid_mark': '0', 'ipv6 forwarding': '0' };

/** Facts of a host with these interfaces, routes and settings. */
export function sketch({ interfaces, routes = [], sysctls = {}, keys = {}, rules = '[]', tables = [] }: HostSketch): HostFacts {
  const names = Object.keys(interfaces);
  const links: Link[] = names.map((name, index) => ({ name, kind: 'ether', mtu: 1500, up: true, mac: `02:00:00:00:00:0${index + 1}` }));
  const addresses = names.flatMap((link) =>
    (interfaces[link] ?? []).map((text): LinkAddress => {
      const [address = '', lease] = text.split(' ');
      const read = must(parseInterfaceAddress(address), text);
      return { link, address: read, scope: 'global', ...(lease === 'dynamic' && { dynamic: true }) };
    }),
  );
  const ways = routes.map(([to, via, link]): Route => {
    const gateway = at(via);
    const destination = to === 'default' ? wholeFamily(gateway.family) : must(parsePrefix(to), to);
    return { table: MAIN_TABLE, destination, type: 'unicast', gateway, link, metric: gateway.family === 4 ? 0 : 1024, protocol: 4 };
  });
  const settings = new Map([['net/ipv4/ip_forward', '0']]);
  for (const link of ['all', 'default', 'lo', ...names])
    for (const [name, value] of Object.entries(SYSCTLS)) {
      const [family, key] = name.split(' ');
      settings.set(`net/${family}/conf/${link}/${key}`, value);
    }
  for (const [path, value] of Object.entries(sysctls)) settings.set(path, value);
  return {
    source: 'observed',
    state: withKernelDefaults({ ...EMPTY_STATE, links, addresses, routes: ways, sysctls: settings, tables, rules: readRules(rules, 4) }),
    keys: new Map(Object.entries(keys).map(([link, key]) => [link, must(parsePublicKey(key), key)])),
    wireguard: 'kernel',
    vxlan: 'kernel',
    stateFolder: '/etc/sallyport',
  };
}

const byDefault = (ipv4: string, ipv6: string): HostSketch['routes'] => [
  ['default', ipv4, 'eth0'],
  ['default', ipv6, 'eth0'],
];

/** A small VPS with both families. */
export const edge = (more: Partial<HostSketch> = {}): HostFacts =>
  sketch({
    interfaces: { eth0: ['198.51.100.10/24', '2001:db8:e::10/64'] },
    routes: byDefault('198.51.100.1', '2001:db8:e::1') ?? [],
    keys: { 'sp-wg51820': 'ZWRnZWVkZ2VlZGdlZWRnZWVkZ2VlZGdlZWRnZWVkZ2U=' },
    ...more,
  });

/** A machine at home. */
export const node = (more: Partial<HostSketch> = {}): HostFacts =>
  sketch({
    interfaces: { eth0: ['192.168.1.20/24', '2001:db8:1::20/64'] },
    routes: byDefault('192.168.1.1', '2001:db8:1::1') ?? [],
    keys: { 'sp-edge-node': 'bm9kZW5vZGVub2Rlbm9kZW5vZGVub2Rlbm9kZW5vZGU=' },
    ...more,
  });

const HEAD = 'apiVersion: sallyport.dev/v1alpha1';

export const hostText = (name: string, spec = ''): string =>
  `${HEAD}\nkind: Host\nmetadata: { name: ${name} }\nspec:\n  access: { netns: { name: ${name} } }\n${spec}---\n`;

export const tunnelText = (name: string, type: string, ...ends: readonly string[]): string =>
  `${HEAD}\nkind: Tunnel\nmetadata: { name: ${name} }\nspec:\n  type: ${type}\n  ends:\n${ends.map((end) => `    - ${end}\n`).join('')}---\n`;

export const forwardText = (name: string, edges: string, ports: readonly string[], to: string, more = ''): string =>
  `${HEAD}\nkind: PortForward\nmetadata: { name: ${name} }\nspec:\n  at: { hosts: [${edges}] }\n  ports:\n${ports
    .map((port) => `    - { ${port} }\n`)
    .join('')}  to:\n    - ${to}\n${more}---\n`;

/** One edge, one node, one WireGuard tunnel. */
export const SLIM_EDGE =
  hostText('edge') +
  hostText('node') +
  tunnelText(
    'edge-node',
    'WireGuard',
    '{ host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "198.51.100.10:51820" }',
    '{ host: node, addresses: [10.90.0.2/30, "fd90::2/64"] }',
  );

export const WEB = forwardText(
  'web',
  'edge',
  ['protocol: TCP, port: 80, targetPort: 8080', 'protocol: UDP, port: 30000-30100'],
  '{ host: node, via: edge-node }',
);
