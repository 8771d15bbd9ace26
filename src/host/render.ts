/** A HostState as the text a host would be given, in the words of its own tools. */
import { fastPathOf, printTable, withFlowtables } from '../nftables/index.ts';
import { addAddressArguments, addLinkArguments, addRouteArguments, addRuleArguments } from '../routing/index.ts';
import {
  isPendingKey,
  type PresharedKey,
  printKey,
  printPresharedKey,
  type WireGuardPeer,
  wgSetPeerArguments,
} from '../wireguard/index.ts';
import { type ForeignAccept, printAccept, printPlace } from './accept.ts';
import type { HostState } from './state.ts';

/** `nft -f` text, `ip` and `wg` commands and sysctls, in the order they are made. The same state gives the same text. */
export function renderState(state: HostState): string {
  const ip = (commands: readonly (readonly string[])[]): string =>
    commands.map((command) => `ip ${command.join(' ')}\n`).join('');
  const fastPaths = state.tables.flatMap((table) => fastPathOf(table) ?? []);
  const sections: readonly (readonly [string, string])[] = [
    ['nft -f -', state.tables.map((table) => printTable(withFlowtables(table, []))).join('\n')],
    ['links', ip(state.links.map(addLinkArguments))],
    ['wg', state.devices.map(renderDevice).join('')],
    ['addresses', ip(state.addresses.map(addAddressArguments))],
    ['sysctl', [...state.sysctls].map(([path, value]) => `${path} = ${value}\n`).join('')],
    ['routes', ip(state.routes.map(addRouteArguments))],
    ['rules', ip(state.rules.map(addRuleArguments))],
    ['nft -f -, once the links are there', fastPaths.map(printTable).join('\n')],
    ['in the firewalls of others', state.accepts.map(renderAccept).join('')],
    ...[...state.files].map(([path, content]) => [path, content] as const),
  ];
  return sections
    .filter(([, text]) => text !== '')
    .map(([title, text]) => `# ${title}\n${text}`)
    .join('\n');
}

const renderAccept = (accept: ForeignAccept): string => `${printPlace(accept.place)}: ${printAccept(accept)}\n`;

function renderDevice({ link, publicKey, listenPort, peers }: HostState['devices'][number]): string {
  const own = publicKey === undefined ? '' : `# public key ${printKey(publicKey)}\n`;
  const lines = peers.map((peer) => {
    const file = peer.presharedKey === undefined ? undefined : fileOf(peer.presharedKey);
    const known = isPendingKey(peer.publicKey) ? undefined : wgSetPeerArguments(link, peer, file);
    return `wg ${(known ?? pendingArguments(link, peer, file)).join(' ')}\n`;
  });
  return `${own}wg set ${link}${listenPort === undefined ? '' : ` listen-port ${listenPort}`} private-key ${link}.key\n${lines.join('')}`;
}

/** The same words with the placeholder where the key will stand: nothing a shell would take. */
function pendingArguments(link: string, peer: WireGuardPeer, file: string | undefined): readonly string[] {
  const placeholder = printKey(peer.publicKey);
  const stand = { ...peer, publicKey: STAND_IN };
  return wgSetPeerArguments(link, stand, file).map((word) => (word === STAND_IN ? placeholder : word));
}

/** As the private key's, beside it; of one that is not made yet nothing a shell would take. */
const fileOf = (key: PresharedKey): string =>
  key === 'pending' || key === 'unknown' ? `(${printPresharedKey(key)})` : `${key}.psk`;

const STAND_IN = 'PUBLIC-KEY' as Parameters<typeof wgSetPeerArguments>[1]['publicKey'] & string;
