/** The far end of a tunnel in a HostRecord, and its second link. */
import { parseAddress, parseEndpoint, parsePrefix, printAddress, printEndpoint, printPrefix } from '../net/index.ts';
import { isPendingKey, parsePresharedKeyName, parsePublicKey } from '../wireguard/index.ts';
import { type Fields, fields, flag, linkName, list, optional, parsed, type Reader, text, whole } from './json.ts';
import type { SecondLink, TunnelPeer } from './share.ts';

export const encodePeer = ({
  publicKey,
  presharedKey,
  endpoint,
  ...peer
}: SecondLink['peer'] & Partial<TunnelPeer>): unknown => ({
  ...peer,
  ...(publicKey && !isPendingKey(publicKey) && { publicKey }),
  ...(presharedKey !== undefined && parsePresharedKeyName(presharedKey) && { presharedKey }),
  ...(endpoint && { endpoint: printEndpoint(endpoint) }),
  ...(peer.allowedIps && { allowedIps: peer.allowedIps.map(printPrefix) }),
  ...(peer.addresses && { addresses: peer.addresses.map(printAddress) }),
  ...(peer.publicAddresses && { publicAddresses: peer.publicAddresses.map(printAddress) }),
});

const readKnown = (from: Fields, path: string): SecondLink['peer'] => ({
  ...optional(from, 'publicKey', parsed(parsePublicKey, 'a public key'), path),
  ...optional(from, 'presharedKey', parsed(parsePresharedKeyName, 'the name of a preshared key'), path),
  ...optional(from, 'endpoint', parsed(parseEndpoint, 'an endpoint'), path),
  ...optional(from, 'keepaliveSeconds', whole, path),
});

const readAddress = parsed(parseAddress, 'an address');

export const readPeer: Reader<TunnelPeer> = (json, path) => {
  const from = fields(json, path);
  return {
    host: text(from.host, `${path}.host`),
    ...readKnown(from, path),
    allowedIps: list(parsed(parsePrefix, 'a prefix'))(from.allowedIps, `${path}.allowedIps`),
    addresses: list(readAddress)(from.addresses, `${path}.addresses`),
    ...optional(from, 'publicAddresses', list(readAddress), path),
    ...optional(from, 'mac', text, path),
  };
};

/** In a record it stands while keys are exchanged, and no longer. */
export const encodeSecond = ({ peer, ...second }: SecondLink): unknown => ({ ...second, peer: encodePeer(peer) });

export const readSecond: Reader<SecondLink> = (json, path) => {
  const from = fields(json, path);
  return {
    link: linkName(from.link, `${path}.link`),
    ...optional(from, 'listenPort', whole, path),
    peer: readKnown(fields(from.peer, `${path}.peer`), `${path}.peer`),
    carries: flag(from.carries, `${path}.carries`),
  };
};
