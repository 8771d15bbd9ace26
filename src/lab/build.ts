import { createHash } from 'node:crypto';
import { addressText, type HostSpec, type Plug, plugsOf, type RouteSpec, type Topology } from './topology.ts';

/**
 * The shell script that makes the network inside a holder; one entry for all of it. Addresses come without duplicate
 * address detection, so that they can be used at once; links made later have it as usual.
 */
export function buildScript(topology: Topology): string {
  check(topology);
  const names = [...topology.hosts, ...topology.switches].map(({ name }) => name);
  return [
    'set -e',
    ...names.map((name) => `ip netns add ${name}`),
    ...topology.hosts.map((host) => inside(host.name, beforeLinks(host))),
    ...topology.switches.map(({ name }) =>
      inside(name, [
        'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6',
        'ip link add br0 up type bridge mcast_snooping 0',
      ]),
    ),
    ...cabled(topology),
    ...topology.hosts.map((host) => inside(host.name, afterLinks(topology, host))),
    ...topology.hosts.filter(({ ipv6 }) => ipv6 !== false).map(({ name }) => inside(name, [untilSettled])),
    '',
  ].join('\n');
}

/** The same for one host of a network that runs, which is not there any more: it comes up as it stood at first. Its cables must lead to switches. */
export function rebuildScript(topology: Topology, name: string): string {
  const cables = topology.cables.filter(({ ends }) => ends.some(({ at }) => at === name));
  const hosts = topology.hosts.filter((host) => host.name === name);
  const switches = topology.switches.filter((one) => cables.some(({ ends }) => ends.some(({ at }) => at === one.name)));
  return [
    'set -e',
    `ip netns add ${name}`,
    ...hosts.map((host) => inside(name, beforeLinks(host))),
    ...cabled({ ...topology, cables, switches }),
    ...hosts.map((host) => inside(name, afterLinks(topology, host))),
    '',
  ].join('\n');
}

/** The cables, plugged into the switches. */
const cabled = (topology: Topology): readonly string[] => [
  heredoc(
    'ip -batch -',
    'BATCH',
    topology.cables.map(
      (cable) => `link add ${cable.ends.map((plug) => end(plug, cable.mtu)).join(' type veth peer ')}`,
    ),
  ),
  ...topology.switches.map(({ name }) =>
    inside(
      name,
      plugsOf(topology, name).map((plug) => `ip link set ${plug.interface} up master br0`),
    ),
  ),
];

/** A new namespace has the first one's IPv4 settings, and so whatever Docker or an admin set there: start from the kernel's own. */
const beforeLinks = (host: HostSpec): readonly string[] => [
  'cd /proc/sys/net',
  'echo 0 >ipv4/ip_forward; echo 0 >ipv4/conf/all/rp_filter; echo 0 >ipv4/conf/default/rp_filter',
  host.ipv6 === false
    ? 'echo 1 >ipv6/conf/all/disable_ipv6; echo 1 >ipv6/conf/default/disable_ipv6'
    : 'echo 0 >ipv6/conf/default/accept_dad',
];

/** The kernel takes a link-local address for tentative (0x40) until a work of its own has run, though it asks nobody: on a busy machine a while. */
const untilSettled =
  "for try in $(seq 500); do grep -qE '^([^ ]+ +){4}[4c]0 ' /proc/self/net/if_inet6 || break; sleep 0.01; done";

function afterLinks(topology: Topology, host: HostSpec): readonly string[] {
  const mine = plugsOf(topology, host.name);
  const addresses = mine.flatMap((plug) =>
    (plug.addresses ?? []).map((given) => {
      const address = addressText(given);
      const lease =
        typeof given === 'string' ? '' : ` valid_lft ${given.validSeconds} preferred_lft ${given.validSeconds}`;
      return `address add ${address} dev ${plug.interface}${address.includes(':') ? ' nodad' : ' brd +'}${lease}`;
    }),
  );
  const routes = host.routes ?? [];
  const ipv4 = routes.filter(({ via }) => !via.includes(':')).map(printRoute);
  const ipv6 = routes.filter(({ via }) => via.includes(':')).map(printRoute);
  return [
    heredoc('ip -batch -', 'BATCH', [
      'link set lo up',
      ...mine.map((plug) => `link set ${plug.interface} up`),
      ...addresses,
      ...ipv4,
    ]),
    ...(ipv6.length === 0 ? [] : [heredoc('ip -6 -batch -', 'BATCH6', ipv6)]),
    ...(host.ipv6 === false ? [] : ['echo 1 >/proc/sys/net/ipv6/conf/default/accept_dad']),
    ...Object.entries(host.sysctls ?? {}).map(
      ([name, value]) => `echo '${value}' >/proc/sys/${name.replaceAll('.', '/')}`,
    ),
    ...(host.nft === undefined ? [] : [heredoc('nft -f -', 'RULESET', host.nft.split('\n'))]),
  ];
}

const printRoute = ({ to, via }: RouteSpec): string => `route add ${to} via ${via}`;

const end = (plug: Plug, mtu: number | undefined): string =>
  `name ${plug.interface} address ${plug.mac ?? macOf(plug)} ${mtu === undefined ? '' : `mtu ${mtu} `}netns ${plug.at}`;

/** Locally administered, and the same in every run: a capture reads the same twice. */
function macOf(plug: Plug): string {
  const bytes = createHash('sha256').update(`${plug.at}/${plug.interface}`).digest().subarray(0, 5);
  return ['02', ...Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

/** `mark` ends the text; a text within another needs another mark. */
const heredoc = (command: string, mark: string, lines: readonly string[]): string =>
  `${command} <<'${mark}'\n${lines.join('\n')}\n${mark}`;

const inside = (name: string, lines: readonly string[]): string =>
  heredoc(`nsenter --net=/run/netns/${name} sh -e`, 'INSIDE', lines);

function check(topology: Topology): void {
  const known = new Set<string>();
  for (const { name } of [...topology.hosts, ...topology.switches]) {
    if (!/^[a-z0-9][a-z0-9-]*$/.test(name)) throw new Error(`${topology.name}: "${name}" cannot name a host`);
    if (known.has(name)) throw new Error(`${topology.name}: two hosts are named ${name}`);
    known.add(name);
  }
  for (const plug of topology.cables.flatMap(({ ends }) => ends)) {
    if (!known.has(plug.at))
      throw new Error(`${topology.name}: a cable ends at ${plug.at}, which is no host or switch`);
    if (!/^[A-Za-z0-9._-]{1,15}$/.test(plug.interface)) {
      throw new Error(`${topology.name}: ${plug.at}: "${plug.interface}" cannot name an interface`);
    }
  }
}
