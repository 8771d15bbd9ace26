import { addressBits, type Endpoint, type Prefix, parseAddress, parseEndpoint, parsePrefix } from '../net/index.ts';
import type { PublicKey, WireGuardDevice, WireGuardPeer } from './device.ts';
import { parsePublicKey } from './key.ts';

/**
 * Its output is for readDump. It holds private and preshared keys: readDump drops them, and nobody else may read, log or keep it.
 */
export const DUMP_COMMAND: readonly string[] = ['wg', 'show', 'all', 'dump'];

/**
 * The WireGuard devices of a namespace from DUMP_COMMAND: a line of 5 fields a device, then one of 9 a peer (wg(8)).
 * Private and preshared keys are not read. Throws an Error on a line that is neither; it shows no
 * field, for where fields are out of order any of them may be a key.
 */
export function readDump(text: string): readonly WireGuardDevice[] {
  const devices = new Map<string, Omit<WireGuardDevice, 'peers'> & { readonly peers: WireGuardPeer[] }>();
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '') continue;
    const at = `output of "wg show all dump", line ${index + 1}`;
    const fields = line.split('\t');
    const [link = ''] = fields;
    if (fields.length === 5) {
      devices.set(link, readDevice(at, fields));
      continue;
    }
    const device = devices.get(link);
    if (fields.length !== 9 || device === undefined) {
      throw new Error(`${at}: ${fields.length} fields, neither a device (5) nor a peer of one (9)`);
    }
    device.peers.push(readPeer(at, fields));
  }
  return [...devices.values()];
}

function readDevice(at: string, fields: readonly string[]): WireGuardDevice & { readonly peers: WireGuardPeer[] } {
  // The second field is the private key.
  const [link = '', , publicKey = '', listenPort = '', firewallMark = ''] = fields;
  const port = readNumber(at, 'listen port', listenPort);
  const mark = firewallMark === 'off' ? 0 : readNumber(at, 'mark', firewallMark);
  return {
    link,
    ...(publicKey !== '(none)' && { publicKey: readKey(at, publicKey) }),
    ...(port > 0 && { listenPort: port }),
    ...(mark > 0 && { firewallMark: mark }),
    peers: [],
  };
}

function readPeer(at: string, fields: readonly string[]): WireGuardPeer {
  const [
    ,
    publicKey = '',
    presharedKey,
    endpoint = '',
    allowedIps = '',
    handshake = '',
    received = '',
    sent = '',
    keepalive = '',
  ] = fields;
  const latestHandshake = readNumber(at, 'latest handshake', handshake);
  return {
    publicKey: readKey(at, publicKey),
    ...(endpoint !== '(none)' && { endpoint: readEndpoint(at, endpoint) }),
    allowedIps: allowedIps === '(none)' ? [] : allowedIps.split(',').map((prefix) => readAllowedIp(at, prefix)),
    ...(keepalive !== 'off' && { keepaliveSeconds: readNumber(at, 'keepalive', keepalive) }),
    ...(latestHandshake > 0 && { latestHandshake }),
    receivedBytes: readNumber(at, 'received bytes', received),
    sentBytes: readNumber(at, 'sent bytes', sent),
    ...(presharedKey !== '(none)' && { presharedKey: 'unknown' }),
  };
}

function readKey(at: string, text: string): PublicKey {
  const key = parsePublicKey(text);
  if (key === undefined) throw new Error(`${at}: the public key is none`);
  return key;
}

function readEndpoint(at: string, text: string): Endpoint {
  // A zone (`fe80::1%eth0`) belongs to this host alone and has no place in an endpoint of ours.
  const endpoint = parseEndpoint(text.replace(/%[^\]]*\]/, ']'));
  if (endpoint === undefined) throw new Error(`${at}: the endpoint is no address and port`);
  return endpoint;
}

function readAllowedIp(at: string, text: string): Prefix {
  const bare = text.includes('/') ? undefined : parseAddress(text);
  const prefix = parsePrefix(bare === undefined ? text : `${text}/${addressBits(bare.family)}`);
  if (prefix === undefined) throw new Error(`${at}: an allowed IP is no prefix`);
  return prefix;
}

/** Decimal, or 0x hexadecimal for the mark. */
function readNumber(at: string, what: string, text: string): number {
  if (!/^(?:[0-9]+|0x[0-9a-f]+)$/.test(text)) throw new Error(`${at}: the ${what} is no number`);
  return Number(text);
}
