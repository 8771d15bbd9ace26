/** Faults of WireGuard tunnels: what the kernel holds, beside what the files ask and what the paths carry. */
import {
  type Address,
  addressScope,
  type Prefix,
  parseEndpoint,
  printAddress,
  printPrefix,
  sameAddress,
  samePrefix,
} from '../../net/index.ts';
import { lookupRoute } from '../../routing/index.ts';
import { isPendingKey, tunnelUp, type WireGuardPeer } from '../../wireguard/index.ts';
import type { Examined, Found } from './finding.ts';
import { byHand, type FixStep, printCommand, setMtu, setPeer } from './fix.ts';
import { settings } from './paths.ts';
import type { Patient } from './patient.ts';

const keyOf = ({ publicKey }: WireGuardPeer): string => (isPendingKey(publicKey) ? '' : publicKey);

/** Every peer of every device, with what its wg-quick file says of it. */
const peersOf = ({ facts, looks }: Patient) =>
  facts.state.devices.flatMap((device) => {
    const file = looks.wireguardFiles?.find(({ link }) => link === device.link);
    return device.peers.map((peer) => {
      const wanted = file?.peers.find(({ publicKey }) => publicKey === keyOf(peer));
      return { device, peer, ...(file && { file }), ...(wanted && { wanted }) };
    });
  });

const age = ({ latestHandshake }: WireGuardPeer, now: number): string =>
  latestHandshake === undefined ? 'no handshake' : `latest handshake ${Math.max(0, now - latestHandshake)} s ago`;

const setAllowed = (link: string, peer: WireGuardPeer, allowedIps: readonly Prefix[]): FixStep =>
  setPeer(link, peer, { allowedIps, words: ['allowed-ips', allowedIps.map(printPrefix).join(',')] });

/** 3: large packets to a tunnel's far end vanish, small ones arrive, and nobody says so. */
export function mtuBlackHole(patient: Patient): Examined {
  const {
    facts,
    looks: { probes },
  } = patient;
  if (facts.state.devices.every(({ peers }) => peers.every(({ endpoint }) => endpoint === undefined))) return [];
  if (probes === undefined) return { unknown: 'ping is missing: install the Debian package iputils-ping' };
  if (probes.every(({ small }) => !small)) return { unknown: 'no endpoint of a tunnel answers echo requests' };
  return probes.flatMap(({ link, endpoint, mtu, outerBytes, small, large, told }): readonly Found[] => {
    if (!small || large) return [];
    const carried = Number(/mtu ?= ?(\d+)/.exec(told ?? '')?.[1]);
    const overhead = outerBytes - mtu;
    const better = carried > 0 ? carried - overhead : 1280;
    return [
      {
        severity: 'error',
        summary: `${link}: packets of ${outerBytes} bytes do not reach ${printAddress(endpoint)}, small ones do${told === undefined ? ', and no router says why' : ''}`,
        evidence: [
          `${link}: mtu ${mtu}`,
          `ping -M do -s ${outerBytes - (endpoint.family === 4 ? 28 : 48)} ${printAddress(endpoint)}: no answer; -s 56: answered`,
          ...(told === undefined ? [] : [told]),
        ],
        why: 'What fills the tunnel dies on the way to its far end. Small requests work, a TLS handshake of today or an upload hangs.',
        fix: [setMtu(patient, link, better)],
      },
    ];
  });
}

/** 16: the kernel keeps an address that the name of an endpoint no longer means. */
export function endpointNameMoved(patient: Patient): Examined {
  const { nowSeconds: now } = patient.looks;
  if (patient.looks.wireguardFiles === undefined || now === undefined)
    return { unknown: 'the files of wg-quick cannot be read' };
  return peersOf(patient).flatMap(({ device, peer, wanted, file }): readonly Found[] => {
    const { meanings = [], endpoint: written = '' } = wanted ?? {};
    const [first] = meanings;
    if (first === undefined || peer.endpoint === undefined || typeof peer.endpoint.host === 'string') return [];
    const { host, port } = peer.endpoint;
    if (meanings.some((each) => sameAddress(each, host)) || tunnelUp(peer, now)) return [];
    return [
      {
        severity: 'error',
        summary: `${device.link}: ${written} means ${printAddress(first)} now, and the kernel still calls ${printAddress(host)}`,
        evidence: [
          `${file?.path}: Endpoint = ${written}`,
          `wg show ${device.link} endpoints: ${printAddress(host)} port ${port}`,
          `getent ahosts: ${meanings.map(printAddress).join(' ')}`,
          age(peer, now),
        ],
        why: 'A name is resolved once, when the tunnel is set up; the kernel knows addresses alone.',
        fix: [callAgain(device.link, peer, written, first)],
      },
    ];
  });
}

function callAgain(link: string, peer: WireGuardPeer, written: string, means: Address): FixStep {
  const endpoint = parseEndpoint(written);
  const words = ['endpoint', written];
  if (endpoint === undefined) return byHand(printCommand(['wg', 'set', link, 'peer', keyOf(peer), ...words]));
  return setPeer(link, peer, { endpoint, meaning: { host: means, port: endpoint.port }, words });
}

/** 17: behind NAT, meant to be reached, and silent. */
export function keepaliveMissing(patient: Patient): Examined {
  const { simulated, sockets = [], facts, looks } = patient;
  return peersOf(patient).flatMap(({ device, peer }): readonly Found[] => {
    const { endpoint } = peer;
    // Who began the flow from outside came in by a forward or a balancer, which no silence here makes forget.
    const hasBegun = looks.entries?.some(
      ({ protocol, original }) =>
        protocol === 'udp' &&
        original.destinationPort === device.listenPort &&
        original.sourcePort === endpoint?.port &&
        typeof endpoint.host !== 'string' &&
        sameAddress(original.source, endpoint.host),
    );
    if (hasBegun === true) return [];
    if (peer.keepaliveSeconds !== undefined || endpoint === undefined || typeof endpoint.host === 'string') return [];
    const way = lookupRoute(simulated.routes, { destination: endpoint.host, mark: device.firewallMark ?? 0 });
    const source = way.kind === 'route' ? way.source : undefined;
    if (source === undefined || !isInner(source) || isInner(endpoint.host)) return [];
    const inside = facts.state.addresses
      .filter(({ link }) => link === device.link)
      .map(({ address }) => address.address);
    const isTunnels = (socket: (typeof sockets)[number]): boolean =>
      socket.protocol === 'udp' && facts.state.devices.some(({ listenPort }) => listenPort === socket.port);
    const heard = sockets
      .filter((socket) => !isTunnels(socket))
      .find(({ address, families }) =>
        address === undefined
          ? inside.some(({ family }) => families.includes(family))
          : inside.some((each) => sameAddress(each, address)),
      );
    return [
      {
        severity: heard === undefined ? 'info' : 'warning',
        summary: `${device.link}: no keepalive from behind NAT (${printAddress(source)}) to ${printAddress(endpoint.host)}: the far end cannot reach this host once it has been silent for a while`,
        evidence: [
          `wg show ${device.link} persistent-keepalive: ${keyOf(peer)} off`,
          `ip route get ${printAddress(endpoint.host)}: src ${printAddress(source)}`,
          ...(heard === undefined ? [] : [`a server listens on ${heard.protocol} port ${heard.port}`]),
        ],
        why: 'The router before this host forgets the mapping of a silent flow, for UDP after 30 to 120 seconds. Then what the far end sends stops at that router.',
        fix: [setPeer(device.link, peer, { keepaliveSeconds: 25, words: ['persistent-keepalive', '25'] })],
      },
    ];
  });
}

/** 18: two peers ask for one prefix, and the last has it. */
export function allowedIpsOverlap(patient: Patient): Examined {
  return peersOf(patient).flatMap(({ device, peer, wanted, file }): readonly Found[] => {
    const lost = (wanted?.allowedIps ?? []).filter((each) => !peer.allowedIps.some((other) => samePrefix(each, other)));
    const [first] = lost;
    const holder = device.peers.find(
      (other) => other !== peer && other.allowedIps.some((each) => lost.some((prefix) => samePrefix(prefix, each))),
    );
    const isBare = peer.allowedIps.length === 0 && (peer.receivedBytes ?? 0) > 0 && file === undefined;
    if ((first === undefined || holder === undefined) && !isBare) return [];
    return [
      {
        severity: 'error',
        summary:
          first === undefined || holder === undefined
            ? `${device.link}: peer ${keyOf(peer)} has no allowed IPs: nothing is sent to it, and nothing of it is believed`
            : `${device.link}: ${lost.map(printPrefix).join(', ')} is asked for by two peers, and ${keyOf(holder)} has it`,
        evidence: [
          `wg show ${device.link} allowed-ips: ${keyOf(peer)} ${peer.allowedIps.map(printPrefix).join(' ') || '(none)'}`,
          ...(holder === undefined
            ? []
            : [`wg show ${device.link} allowed-ips: ${keyOf(holder)} ${holder.allowedIps.map(printPrefix).join(' ')}`]),
          ...(file === undefined || first === undefined
            ? []
            : [`${file.path}: AllowedIPs of ${keyOf(peer)}: ${lost.map(printPrefix).join(', ')}`]),
        ],
        why: 'A prefix belongs to one peer of a link. Who asks last takes it from the other, without a word.',
        fix:
          wanted === undefined || holder === undefined
            ? [byHand(`wg set ${device.link} peer ${keyOf(peer)} allowed-ips PREFIX`)]
            : [
                byHand(`# give each of them prefixes of its own in ${file?.path}; to give it back to the first now:`),
                setAllowed(
                  device.link,
                  holder,
                  holder.allowedIps.filter((each) => !lost.some((other) => samePrefix(each, other))),
                ),
                setAllowed(device.link, peer, wanted.allowedIps),
              ],
      },
    ];
  });
}

/** 19: wg-quick wants a setting that it may not write. */
export function sysctlReadOnly(patient: Patient): Examined {
  const { facts, looks } = patient;
  const { sysctlsWritable, wireguardFiles, wgQuickAsksFirst = false } = looks;
  if (sysctlsWritable === undefined || wireguardFiles === undefined)
    return { unknown: '/proc/sys cannot be looked at' };
  const path = 'net/ipv4/conf/all/src_valid_mark';
  if (sysctlsWritable || (facts.state.sysctls.get(path) === '1' && wgQuickAsksFirst)) return [];
  return wireguardFiles.flatMap(({ link, path: file, peers, tableOff }): readonly Found[] => {
    const all = peers
      .flatMap(({ allowedIps }) => allowedIps)
      .find((each) => each.length === 0 && each.address.family === 4);
    if (all === undefined || tableOff || facts.state.links.some(({ name }) => name === link)) return [];
    return [
      {
        severity: 'error',
        summary: `wg-quick up ${link} cannot write net.ipv4.conf.all.src_valid_mark, and takes ${link} away again`,
        evidence: ['/proc/sys is read-only', ...settings(patient, path), `${file}: AllowedIPs = 0.0.0.0/0`],
        why: 'For a full tunnel wg-quick sets it to 1 unless it is. In a container /proc/sys is not its to write, and the whole tunnel is undone.',
        fix: [
          byHand(
            '# where the container is started: docker run --sysctl net.ipv4.conf.all.src_valid_mark=1, or the securityContext.sysctls of the pod',
          ),
          ...(wgQuickAsksFirst
            ? []
            : [
                byHand('# and let wg-quick ask before it writes, for this one always writes:'),
                byHand(
                  `sed -i 's/&& cmd sysctl -q net.ipv4.conf.all.src_valid_mark=1/\\&\\& [[ $(sysctl -n net.ipv4.conf.all.src_valid_mark) != 1 ]] &/' "$(command -v wg-quick)"`,
                ),
              ]),
        ],
      },
    ];
  });
}

/** Not on the Internet: somebody must translate. */
const isInner = (address: Parameters<typeof addressScope>[0]): boolean =>
  ['private', 'shared'].includes(addressScope(address)) && address.family === 4;
