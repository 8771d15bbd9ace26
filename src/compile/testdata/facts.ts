/** Facts of hosts for tests, written as people speak of them. */
import { EMPTY_STATE, type HostFacts } from '../../host/index.ts';
import { type Address, parseAddress, parseInterfaceAddress, parsePrefix, wholeFamily } from '../../net/index.ts';
import { networkOf } from '../../net/index.ts';
import { type Link, type LinkAddress, LOCAL_TABLE, MAIN_TABLE, type Route, type RoutingRule } from '../../routing/index.ts';
import type { PublicKey } from '../../wireguard/index.ts';

export interface HostSketch {
  /** By interface: addresses, `dynamic` after one that is leased. */
  readonly interfaces: Readonly<Record<string, readonly string[]>>;
  /** `default via 192.168.1.1 dev eth0` as [prefix or default, gateway, link]. */
  readonly routes?: readonly (readonly [string, string, string])[];
  readonly sysctls?: Readonly<Record<string, string>>;
  readonly keys?: Readonly<Record<string, string>>;
  readonly mtu?: number;
  readonly rules?: readonly RoutingRule[];
  readonly flowtables?: HostFacts['flowtables'];
}

const must = <T>(value: T | undefined, text: string): T => {
  if (value === undefined) throw new TypeError(`cannot read ${text}`);
  return value;
};

const at = (text: string): Address => must(parseAddress(text), text);

const SYSCTLS = { 'ipv4 forwarding': '0', 'ipv4 rp_filter': '0', 'ipv6 forwarding': '0', 'ipv6 accept_ra': '1' };

/** Everything as a fresh Linux host shows it: connected and local routes, the three rules of each family, default sysctls. */
export function sketch({ interfaces, routes = [], sysctls = {}, keys = {}, mtu = 1500, rules = [], flowtables }: HostSketch): HostFacts {
  const names = Object.keys(interfaces);
  const links: Link[] = [
    { name: 'lo', kind: 'loopback', mtu: 65536, up: true, carrier: true, index: 1 },
    ...names.map((name, index) => ({ name, kind: 'ether', mtu, up: true, carrier: true, index: index + 2, mac: `02:00:00:00:00:0${index + 1}` })),
  ];
  const addresses: LinkAddress[] = names.flatMap((link) =>
    (interfaces[link] ?? []).map((text): LinkAddress => {
      const [address = '', dynamic] = text.split(' ');
      return { link, address: must(parseInterfaceAddress(address), text), scope: 'global', ...(dynamic === 'dynamic' && { dynamic: true }) };
    }),
  );
  const kernel = { type: 'unicast', protocol: 2 } as const;
  const connected: Route[] = addresses.flatMap(({ link, address }) => {
    const metric = address.address.family === 4 ? 0 : 256;
    const own = { address: address.address, length: address.address.family === 4 ? 32 : 128 };
    const source = address.address.family === 4 ? { source: address.address } : {};
    return [
      { ...kernel, ...source, table: MAIN_TABLE, destination: networkOf(address), link, metric },
      { ...kernel, ...source, type: 'local' as const, table: LOCAL_TABLE, destination: own, link, metric: 0 },
    ];
  });
  const ways: Route[] = routes.map(([to, via, link]) => {
    const gateway = at(via);
    const destination = to === 'default' ? wholeFamily(gateway.family) : must(parsePrefix(to), to);
    return { ...kernel, protocol: 4, table: MAIN_TABLE, destination, gateway, link, metric: gateway.family === 4 ? 0 : 1024 };
  });
  const usual = ([4, 6] as const).flatMap((family): RoutingRule[] =>
    [
      [0, 255],
      [32766, 254],
      [32767, 253],
    ].map(([priority = 0, table = 0]) => ({ family, priority, protocol: 2, action: { kind: 'lookup', table } })),
  );
  const settings = new Map<string, string>([['net/ipv4/ip_forward', '0']]);
  for (const link of ['all', 'default', 'lo', ...names])
    for (const [name, value] of Object.entries(SYSCTLS)) {
      const [family, key] = name.split(' ');
      settings.set(`net/${family}/conf/${link}/${key}`, value);
    }
  for (const [path, value] of Object.entries(sysctls)) settings.set(path, value);
  return {
    source: 'observed',
    state: { ...EMPTY_STATE, links, addresses, routes: [...connected, ...ways], rules: [...usual, ...rules], sysctls: settings },
    keys: new Map(Object.entries(keys).map(([link, key]) => [link, key as PublicKey])),
    wireguard: 'kernel',
    vxlan: 'kernel',
    ...(flowtables !== undefined && { flowtables }),
    stateFolder: '/etc/sallyport',
  };
}

const EDGE_KEY = 'ZWRnZWVkZ2VlZGdlZWRnZWVkZ2VlZGdlZWRnZWVkZ2U=';
export const NODE_KEY = 'bm9kZW5vZGVub2Rlbm9kZW5vZGVub2Rlbm9kZW5vZGU=';

/** A small VPS with both families. */
export const edge = (more: Partial<HostSketch> = {}): HostFacts =>
  sketch({
    interfaces: { eth0: ['198.51.100.10/24', '2001:db8:e::10/64'] },
    routes: [
      ['default', '198.51.100.1', 'eth0'],
      ['default', '2001:db8:e::1', 'eth0'],
    ],
    keys: { 'sp-wg51820': EDGE_KEY },
    ...more,
  });

/** A machine at home. */
export const node = (more: Partial<HostSketch> = {}): HostFacts =>
  sketch({
    interfaces: { eth0: ['192.168.1.20/24', '2001:db8:1::20/64'] },
    routes: [
      ['default', '192.168.1.1', 'eth0'],
      ['default', '2001:db8:1::1', 'eth0'],
    ],
    keys: { 'sp-edge-node': NODE_KEY },
    ...more,
  });
