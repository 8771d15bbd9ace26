/** The commented first file of `init slim-edge`. Pure: from what was seen to text. */

import type { HostFacts } from '../host/index.ts';
import {
  type Address,
  type Family,
  isPublicAddress,
  networkOf,
  type Prefix,
  parsePrefix,
  prefixesOverlap,
  printAddress,
  printInterfaceAddress,
} from '../net/index.ts';
import type { LinkAddress } from '../routing/index.ts';
import { MAIN_TABLE } from '../routing/index.ts';
import { CommandFailure } from './exit.ts';
import type { Listener } from './listeners.ts';

export interface SeenHost {
  /** As written after `access:`: `netns: { name: edge }`. */
  readonly access: string;
  readonly facts: HostFacts;
  readonly listeners: readonly Listener[];
}

export interface FirstFile {
  readonly text: string;
  /** What the user should look at before going on. */
  readonly warnings: readonly string[];
}

/** At most so many of the node's listening ports become forwards that are switched on. */
const MOST_PORTS = 10;
const FIRST_PORT = 51820;
const SSH_PORT = 22;

/** Writes the file for an edge and a node. Throws a CommandFailure where the edge has no address to be reached at. */
export function slimEdgeFile(edge: SeenHost, node: SeenHost): FirstFile {
  const warnings: string[] = [];
  const way = wayOut(edge.facts);
  const first = way.addresses[0];
  if (way.link === undefined || first === undefined)
    throw new CommandFailure('edge: no interface with a global address was found there');
  const families = ([4, 6] as const).filter((family) => speaks(edge.facts, family) && speaks(node.facts, family));
  const used = [...edge.facts.state.addresses, ...node.facts.state.addresses].map(({ address }) => networkOf(address));
  const [edgeEnd, nodeEnd] = tunnelAddresses(families.length === 0 ? [first.family] : families, used);
  const port = freePort(edge.listeners);
  if (!isPublicAddress(first)) {
    warnings.push(
      `edge: ${printAddress(first)} is no public address. Behind a provider's 1:1 NAT, write the public one as "outside" of ${way.link} and as the endpoint of the tunnel.`,
    );
  }
  for (const [name, { facts }] of [
    ['edge', edge],
    ['node', node],
  ] as const) {
    if (facts.wireguard === 'absent')
      warnings.push(
        `${name}: neither the kernel nor wireguard-go can make a WireGuard link; install wireguard-go, or set type: VXLAN`,
      );
  }
  const text = [
    "# A slim edge: traffic to the edge goes through an encrypted tunnel to the node, which sees the client's own address.",
    '# Look it over, then: sallyport plan -f THIS-FILE, sallyport apply -f THIS-FILE; sallyport destroy -f THIS-FILE takes it back.',
    'apiVersion: sallyport.dev/v1alpha1',
    'kind: Host',
    'metadata: { name: edge }',
    'spec:',
    `  access: { ${edge.access} }`,
    ...seen(edge.facts),
    '  interfaces: # what is left out is observed; "public" is where clients come in',
    `    - { name: ${way.link}, zone: public }`,
    ...(isPublicAddress(first)
      ? []
      : [`      # outside: { "${printAddress(first)}": 203.0.113.1 } # the public address of the provider's 1:1 NAT`]),
    '---',
    'apiVersion: sallyport.dev/v1alpha1',
    'kind: Host',
    'metadata: { name: node }',
    'spec:',
    `  access: { ${node.access} }`,
    ...seen(node.facts),
    '---',
    'apiVersion: sallyport.dev/v1alpha1',
    'kind: Tunnel',
    'metadata: { name: edge-node }',
    'spec:',
    '  type: WireGuard # keys are made on their hosts at apply and never leave them',
    '  ends:',
    `    - { host: edge, addresses: [${edgeEnd.join(', ')}], endpoint: "${endpoint(first, port)}" }`,
    `    - { host: node, addresses: [${nodeEnd.join(', ')}] } # dials out, so it may stand behind NAT`,
    '---',
    'apiVersion: sallyport.dev/v1alpha1',
    'kind: PortForward',
    'metadata: { name: web }',
    'spec:',
    '  at: { hosts: [edge] } # all its public addresses; "addresses" names some',
    '  ports: # "targetPort" where the server listens on another port than the public one',
    ...portLines(node.listeners, port),
    '  to:',
    '    - { host: node, via: edge-node }',
    '',
  ].join('\n');
  return { text, warnings };
}

/** The link of the default route (else the first with a global address) and its lasting global addresses, IPv4 first. */
function wayOut({ state }: HostFacts): { readonly link: string | undefined; readonly addresses: readonly Address[] } {
  const lasting = state.addresses.filter(isLasting);
  const route = state.routes.find(
    ({ table, destination, type }) => table === MAIN_TABLE && type === 'unicast' && destination.length === 0,
  );
  const link = route?.link ?? lasting.find(({ link: name }) => !name.startsWith('sp-'))?.link;
  const addresses = lasting.filter((each) => each.link === link).map(({ address }) => address.address);
  return { link, addresses: addresses.sort((a, b) => a.family - b.family) };
}

const isLasting = ({ scope, temporary, deprecated }: LinkAddress): boolean =>
  scope === 'global' && temporary !== true && deprecated !== true;

/** IPv4 always; IPv6 unless it is switched off, or the host has no global address of it. */
const speaks = ({ state }: HostFacts, family: Family): boolean =>
  family === 4 ||
  (state.sysctls.get('net/ipv6/conf/all/disable_ipv6') !== '1' &&
    state.addresses.some((each) => each.address.address.family === 6));

/** What was seen, as comments. */
function seen({ state }: HostFacts): readonly string[] {
  const byLink = new Map<string, string[]>();
  for (const each of state.addresses) {
    if (!isLasting(each) || each.link.startsWith('sp-')) continue;
    byLink.set(each.link, [...(byLink.get(each.link) ?? []), printInterfaceAddress(each.address)]);
  }
  return [...byLink].map(([link, addresses]) => `  # seen: ${link} ${addresses.join(', ')}`);
}

/** Both ends' addresses in the first networks that clash with nothing seen. */
function tunnelAddresses(
  families: readonly Family[],
  used: readonly Prefix[],
): readonly [readonly string[], readonly string[]] {
  const [edge, node]: [string[], string[]] = [[], []];
  for (const family of families) {
    const free = Array.from({ length: 256 }, (_, index) => index).find((index) => {
      const prefix = parsePrefix(family === 4 ? `10.90.${index}.0/30` : `fd90:${index.toString(16)}::/64`);
      return prefix !== undefined && used.every((each) => each.length === 0 || !prefixesOverlap(prefix, each));
    });
    const net = free ?? 0;
    edge.push(family === 4 ? `10.90.${net}.1/30` : `"fd90:${net.toString(16)}::1/64"`);
    node.push(family === 4 ? `10.90.${net}.2/30` : `"fd90:${net.toString(16)}::2/64"`);
  }
  return [edge, node];
}

const freePort = (listeners: readonly Listener[]): number => {
  const taken = new Set(listeners.filter(({ protocol }) => protocol === 'udp').map(({ port }) => port));
  return Array.from({ length: 1000 }, (_, index) => FIRST_PORT + index).find((port) => !taken.has(port)) ?? FIRST_PORT;
};

const endpoint = (address: Address, port: number): string =>
  address.family === 6 ? `[${printAddress(address)}]:${port}` : `${printAddress(address)}:${port}`;

/** TCP listeners of the node as forwards; the rest, and UDP, as comments to be switched on by hand. */
function portLines(listeners: readonly Listener[], tunnelPort: number): readonly string[] {
  const usable = listeners.filter(
    ({ protocol, port }) => port !== SSH_PORT && !(protocol === 'udp' && port === tunnelPort),
  );
  const chosen = usable.filter(({ protocol }) => protocol === 'tcp').slice(0, MOST_PORTS);
  const line = ({ protocol, port }: Listener): string => `{ protocol: ${protocol.toUpperCase()}, port: ${port} }`;
  const rest = usable.filter((each) => !chosen.includes(each)).slice(0, MOST_PORTS);
  if (chosen.length === 0) chosen.push({ protocol: 'tcp', port: 80 }, { protocol: 'tcp', port: 443 });
  return [
    ...chosen.map((each) => `    - ${line(each)}`),
    ...rest.map((each) => `    # - ${line(each)} # listens there too`),
  ];
}
