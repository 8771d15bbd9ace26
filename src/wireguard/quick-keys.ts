/** The keys of a wg-quick file: what each takes, and what is said where it is not that. */
import {
  hostPrefix,
  type InterfaceAddress,
  networkOf,
  type Prefix,
  parseAddress,
  parseEndpoint,
  parseHostName,
  parseInterfaceAddress,
} from '../net/index.ts';
import { parsePublicKey } from './key.ts';
import { HOOKS, type KeySource, type QuickInterface, type QuickPeer } from './quick-file.ts';

export type Section = 'Interface' | 'Peer';

type Draft<T> = { -readonly [K in keyof T]: T[K] };
export type InterfaceDraft = Draft<Omit<QuickInterface, 'addresses' | 'dns' | 'searchDomains' | 'hooks'>> & {
  readonly addresses: InterfaceAddress[];
  readonly dns: QuickInterface['dns'][number][];
  readonly searchDomains: string[];
  readonly hooks: QuickInterface['hooks'][number][];
};
/** With the line that its section begins at. */
export type PeerDraft = Draft<Partial<Omit<QuickPeer, 'allowedIps'>>> & {
  readonly allowedIps: Prefix[];
  readonly line: number;
};

interface Value {
  readonly value: string;
  readonly line: number;
}

type Refuse = (what: string, meant?: string) => void;
type Reader<To> = (field: Value, to: To, refuse: Refuse) => void;

const inline = (key: string): KeySource => ({ kind: 'inline', key: { reveal: () => key } });

function keyOf(value: string, refuse: Refuse): KeySource | undefined {
  if (parsePublicKey(value) !== undefined) return inline(value);
  // The value itself is not repeated: it may be a key with a slip in it.
  refuse(`is no key (${value.length} characters)`, '44 characters of base64, as wg genkey prints them');
  return undefined;
}

function fileOf(value: string, refuse: Refuse): KeySource | undefined {
  if (value.startsWith('/')) return { kind: 'file', path: value };
  refuse(`is no absolute path: ${value}`, '/run/secrets/wg0.key');
  return undefined;
}

/** Decimal, or hexadecimal where the tools take that. */
function numberOf(value: string, last: number, isHexToo: boolean): number | undefined {
  const isNumber = /^(?:0|[1-9][0-9]*)$/.test(value) || (isHexToo && /^0x[0-9a-f]{1,8}$/i.test(value));
  const number = Number(value);
  return isNumber && number <= last ? number : undefined;
}

/** The parts of a list with commas. */
const listOf = (value: string): readonly string[] => value.split(',').map((each) => each.trim());

const ENDPOINT = '198.51.100.10:51820, [2001:db8::1]:51820 or vpn.example.com:51820';

const INTERFACE: Readonly<Record<string, Reader<InterfaceDraft>>> = {
  PrivateKey({ value }, to, refuse) {
    const key = keyOf(value, refuse);
    if (key !== undefined) to.privateKey = key;
  },
  PrivateKeyFile({ value }, to, refuse) {
    const key = fileOf(value, refuse);
    if (key !== undefined) to.privateKey = key;
  },
  ListenPort({ value }, to, refuse) {
    const port = numberOf(value, 65_535, false);
    if (port === undefined) refuse(`is no port: ${value}`, '0 to 65535');
    else to.listenPort = port;
  },
  FwMark({ value }, to, refuse) {
    const mark = value.toLowerCase() === 'off' ? 0 : numberOf(value, 0xffff_ffff, true);
    if (mark === undefined) refuse(`is no mark: ${value}`, 'off, 51820 or 0xca6c');
    else to.firewallMark = mark;
  },
  Address({ value }, to, refuse) {
    for (const text of listOf(value)) {
      const bare = parseAddress(text);
      const address =
        bare === undefined ? parseInterfaceAddress(text) : { address: bare, length: hostPrefix(bare).length };
      if (address === undefined) refuse(`is no address: ${text}`, '10.0.0.1/24, fd00::1/64');
      else to.addresses.push(address);
    }
  },
  DNS({ value }, to, refuse) {
    for (const text of listOf(value)) {
      const [address, name] = [parseAddress(text), parseHostName(text)];
      if (address !== undefined) to.dns.push(address);
      else if (name !== undefined) to.searchDomains.push(name);
      else refuse(`is neither an address nor a domain: ${text}`, '10.0.0.53, example.com');
    }
  },
  MTU({ value }, to, refuse) {
    const mtu = numberOf(value, 65_535, false);
    if (mtu === undefined || mtu < 576) refuse(`is no MTU: ${value}`, '1420; 576 to 65535, for IPv6 at least 1280');
    else to.mtu = mtu;
  },
  Table({ value }, to, refuse) {
    const word = value.toLowerCase();
    const table = word === 'auto' || word === 'off' ? word : numberOf(value, 0xffff_ffff, true);
    if (table === undefined || table === 0) refuse(`is no table: ${value}`, 'auto, off or the number of a table');
    else to.table = table;
  },
  SaveConfig({ value }, to, refuse) {
    const word = value.toLowerCase();
    if (word !== 'true' && word !== 'false') refuse(`is neither true nor false: ${value}`, 'SaveConfig = false');
    else to.saveConfig = word === 'true';
  },
  ...Object.fromEntries(
    HOOKS.map((at): [string, Reader<InterfaceDraft>] => [
      at,
      ({ value, line }, to) => {
        to.hooks.push({ at, command: value, line });
      },
    ]),
  ),
};

const PEER: Readonly<Record<string, Reader<PeerDraft>>> = {
  PublicKey({ value }, to, refuse) {
    const key = parsePublicKey(value);
    if (key === undefined)
      refuse(`is no key (${value.length} characters)`, '44 characters of base64, as wg pubkey prints them');
    else to.publicKey = key;
  },
  PresharedKey({ value }, to, refuse) {
    const key = keyOf(value, refuse);
    if (key !== undefined) to.presharedKey = key;
  },
  PresharedKeyFile({ value }, to, refuse) {
    const key = fileOf(value, refuse);
    if (key !== undefined) to.presharedKey = key;
  },
  AllowedIPs({ value }, to, refuse) {
    for (const text of listOf(value)) {
      const prefix = allowedIp(text);
      if (prefix === undefined) refuse(`is no prefix: ${text}`, '10.0.0.2/32, 0.0.0.0/0, ::/0');
      else to.allowedIps.push(prefix);
    }
  },
  Endpoint({ value }, to, refuse) {
    const endpoint = parseEndpoint(value);
    if (endpoint === undefined || endpoint.port === 0) refuse(`is no endpoint: ${value}`, ENDPOINT);
    else to.endpoint = endpoint;
  },
  PersistentKeepalive({ value }, to, refuse) {
    const seconds = value.toLowerCase() === 'off' ? 0 : numberOf(value, 65_535, false);
    if (seconds === undefined) refuse(`is no number of seconds: ${value}`, 'off, or 1 to 65535; 25 keeps a NAT open');
    else to.keepaliveSeconds = seconds;
  },
};

/** wg takes an address alone, and one with bits below the prefix, which it drops. */
function allowedIp(text: string): Prefix | undefined {
  const [address, on] = [parseAddress(text), parseInterfaceAddress(text)];
  return address !== undefined ? hostPrefix(address) : on && networkOf(on);
}

/** By their names in lower case: wg and wg-quick take any case. */
const byName = <To>(readers: Readonly<Record<string, Reader<To>>>) =>
  new Map(Object.entries(readers).map(([name, read]) => [name.toLowerCase(), { name, read }]));

export const INTERFACE_KEYS = byName(INTERFACE);
export const PEER_KEYS = byName(PEER);
