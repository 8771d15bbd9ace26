/** A wg-quick file as text again, and the part of it that `wg setconf` and `wg syncconf` read. Both hold its keys: for files and stdin alone. */
import { printAddress, printEndpoint, printInterfaceAddress, printPrefix } from '../net/index.ts';
import type { KeySource, QuickFile, QuickInterface, QuickPeer } from './quick-file.ts';

/** The whole file; readQuickFile gives the same again. */
export const printQuickFile = ({ interface: own, peers }: QuickFile): string =>
  [
    '[Interface]',
    ...keyLine('PrivateKey', own.privateKey),
    ...own.addresses.map((each) => `Address = ${printInterfaceAddress(each)}`),
    ...listenLines(own),
    ...(own.dns.length + own.searchDomains.length === 0
      ? []
      : [`DNS = ${[...own.dns.map(printAddress), ...own.searchDomains].join(', ')}`]),
    ...(own.mtu === undefined ? [] : [`MTU = ${own.mtu}`]),
    ...(own.table === 'auto' ? [] : [`Table = ${own.table}`]),
    ...own.hooks.map(({ at, command }) => `${at} = ${command}`),
    ...(own.saveConfig ? ['SaveConfig = true'] : []),
    ...peers.flatMap((peer) => ['', ...peerLines(peer, (key) => keyLine('PresharedKey', key))]),
    '',
  ].join('\n');

export interface WgConfiguration {
  readonly privateKey: string;
  readonly listenPort?: number;
  readonly firewallMark: number;
  readonly peers: readonly QuickPeer[];
  /** Of peers that have one. */
  readonly presharedKeys: ReadonlyMap<string, string>;
}

/** What `wg setconf` reads (wg(8)): no key that only wg-quick knows. */
export const printWgConfiguration = ({ privateKey, peers, presharedKeys, ...own }: WgConfiguration): string =>
  [
    '[Interface]',
    `PrivateKey = ${privateKey}`,
    ...listenLines(own),
    ...peers.flatMap((peer) => {
      const preshared = presharedKeys.get(peer.publicKey);
      return peerLines(peer, () => (preshared === undefined ? [] : [`PresharedKey = ${preshared}`]));
    }),
    '',
  ].join('\n');

const listenLines = ({
  listenPort,
  firewallMark,
}: Pick<QuickInterface, 'listenPort' | 'firewallMark'>): readonly string[] => [
  ...(listenPort === undefined ? [] : [`ListenPort = ${listenPort}`]),
  ...(firewallMark === undefined ? [] : [`FwMark = ${firewallMark === 0 ? 'off' : `0x${firewallMark.toString(16)}`}`]),
];

const peerLines = (
  { publicKey, presharedKey, allowedIps, endpoint, keepaliveSeconds }: QuickPeer,
  preshared: (key: KeySource | undefined) => readonly string[],
): readonly string[] => [
  ...['[Peer]', `PublicKey = ${publicKey}`, ...preshared(presharedKey)],
  ...(allowedIps.length === 0 ? [] : [`AllowedIPs = ${allowedIps.map(printPrefix).join(', ')}`]),
  ...(endpoint === undefined ? [] : [`Endpoint = ${printEndpoint(endpoint)}`]),
  ...(keepaliveSeconds === undefined
    ? []
    : [`PersistentKeepalive = ${keepaliveSeconds === 0 ? 'off' : keepaliveSeconds}`]),
];

const keyLine = (name: 'PrivateKey' | 'PresharedKey', source: KeySource | undefined): readonly string[] =>
  source === undefined
    ? []
    : [source.kind === 'file' ? `${name}File = ${source.path}` : `${name} = ${source.key.reveal()}`];
