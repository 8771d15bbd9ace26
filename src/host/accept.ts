/**
 * Accepts of ours in another's firewall: the one thing of ours that stands among what is not. Each bears our tag, and lets through only
 * what our own table judges besides.
 */
import { type Address, type Family, printAddress } from '../net/index.ts';
import {
  accept,
  address,
  and,
  ct,
  match,
  meta,
  normalProtocol,
  number,
  payload,
  printReference,
  printStatement,
  type Rule,
  rule,
  type Statement,
  symbol,
  text,
} from '../nftables/index.ts';
import { isFirewalldTraffic } from './accept-firewalld.ts';
import { isUfwTraffic, type UfwChain, ufwWords } from './accept-ufw.ts';

/** The comment of each such rule, exactly: by it they are known as ours. */
export const ACCEPT_TAG = 'sallyport';

/** All of ours at one place, one rule each, in this order. */
export interface ForeignAccept {
  readonly place: AcceptPlace;
  readonly traffic: readonly AcceptTraffic[];
}

export type AcceptPlace =
  /** A chain that nft made. `behind`: how many rules of its owner stand before ours; absent where ours do not stand together. */
  | {
      readonly kind: 'nft';
      readonly family: 'ip' | 'ip6' | 'inet';
      readonly table: string;
      readonly chain: string;
      readonly behind?: number;
    }
  /** A chain that iptables or ip6tables made, DOCKER-USER too: nothing else may write there. `behind` counts lines of iptables-save. */
  | {
      readonly kind: 'iptables';
      readonly family: Family;
      readonly backend: 'nft' | 'legacy';
      readonly table: string;
      readonly chain: string;
      readonly behind?: number;
    }
  /** ufw's own rules of a family, by its command. `dormant`: it is not enabled. */
  | {
      readonly kind: 'ufw';
      readonly family: Family;
      readonly chain: UfwChain;
      readonly behind?: number;
      readonly dormant?: true;
    }
  /** firewalld, in files of ours and running; `dormant`: it does not run. */
  | { readonly kind: 'firewalld'; readonly behind?: number; readonly dormant?: true };

/** What one accept lets through. */
export type AcceptTraffic =
  /** What comes in or goes out by a link of ours: our table judges all of it. */
  | { readonly kind: 'link'; readonly link: string; readonly direction: 'in' | 'out' }
  /** A tunnel's own packets: IANA's protocol, the port they are sent to where they have one (UDP), and the far end where it is known. */
  | {
      readonly kind: 'outer';
      readonly direction: 'in' | 'out';
      readonly protocol: number;
      readonly port?: number;
      readonly peer?: Address;
    }
  /** Connections that bear a mark of ours: those that our forwards made, and those that came in by a tunnel. */
  | { readonly kind: 'connections'; readonly mask: number }
  /** Tagged as ours and none of these: somebody changed it. Only seen, never wanted. */
  | { readonly kind: 'other'; readonly text: string };

/** The place without where in it: all of ours there are one accept. */
export function placeKey(place: AcceptPlace): string {
  switch (place.kind) {
    case 'nft':
      return `nft ${place.family} ${place.table} ${place.chain}`;
    case 'iptables':
      return `iptables ${place.backend} ${place.family} ${place.table} ${place.chain}`;
    case 'ufw':
      return `ufw ${place.family} ${place.chain}`;
    case 'firewalld':
      return 'firewalld';
  }
}

/** The same text for the same traffic. */
export const trafficKey = (traffic: AcceptTraffic): string =>
  JSON.stringify(traffic, (_, value) => (typeof value === 'bigint' ? `${value}` : value));

/** Whether its owner has words for it there. */
export function canBear(place: AcceptPlace, traffic: WrittenTraffic): boolean {
  switch (place.kind) {
    case 'ufw':
      return isUfwTraffic(traffic);
    case 'firewalld':
      return isFirewalldTraffic(traffic);
    case 'nft':
    case 'iptables':
      return true;
  }
}

/** `inet fw forward`, `iptables -t filter DOCKER-USER`. */
export function printPlace(place: AcceptPlace): string {
  switch (place.kind) {
    case 'nft':
      return `${place.family} ${place.table} ${place.chain}`;
    case 'iptables': {
      const program = place.family === 4 ? 'iptables' : 'ip6tables';
      return `${program}${place.backend === 'legacy' ? '-legacy' : ''} -t ${place.table} ${place.chain}`;
    }
    case 'ufw':
      return `ufw, IPv${place.family} ${place.chain}`;
    case 'firewalld':
      return 'firewalld';
  }
}

/** In the words of the tool that writes it, without tag and verdict. */
function printTraffic(place: AcceptPlace, traffic: AcceptTraffic): string {
  if (traffic.kind === 'other') return traffic.text;
  switch (place.kind) {
    case 'nft':
    case 'firewalld':
      return conditionsOf(traffic).map(printStatement).join(' ');
    case 'iptables':
      return iptablesWords(traffic).join(' ');
    case 'ufw':
      return ufwWords(traffic, place.family).join(' ');
  }
}

/** The same text for the same accept, where in the chain it stands included. */
export function printAccept({ place, traffic }: ForeignAccept): string {
  const apart = place.kind === 'firewalld' || (place.kind === 'ufw' && place.dormant) ? 'kept' : 'not together';
  const where = place.behind === undefined ? apart : `behind ${place.behind}`;
  return `${traffic.map((each) => printTraffic(place, each)).join('; ')} (${where})`;
}

/** What can be written. */
export type WrittenTraffic = Exclude<AcceptTraffic, { readonly kind: 'other' }>;

/** The rule that stands for it in a chain. */
export const acceptRule = (traffic: WrittenTraffic): Rule => rule(ACCEPT_TAG, ...conditionsOf(traffic), accept);

function conditionsOf(traffic: WrittenTraffic): readonly Statement[] {
  switch (traffic.kind) {
    case 'link':
      return [match(meta(traffic.direction === 'in' ? 'iifname' : 'oifname'), '==', text(traffic.link))];
    case 'outer': {
      const { direction, protocol, port, peer } = traffic;
      const field = direction === 'in' ? 'saddr' : 'daddr';
      const name = normalProtocol(protocol);
      return [
        ...(peer === undefined ? [] : [match(payload(peer.family === 4 ? 'ip' : 'ip6', field), '==', address(peer))]),
        port === undefined
          ? match(meta('l4proto'), '==', typeof name === 'number' ? number(name) : symbol(name))
          : match(payload('udp', 'dport'), '==', port),
      ];
    }
    case 'connections':
      return [match(and(ct('mark'), traffic.mask), '!=', 0)];
  }
}

/** iptables(8), iptables-extensions(8). */
function iptablesWords(traffic: WrittenTraffic): readonly string[] {
  switch (traffic.kind) {
    case 'link':
      return [traffic.direction === 'in' ? '-i' : '-o', traffic.link];
    case 'outer': {
      const { direction, protocol, port, peer } = traffic;
      return [
        ...(peer === undefined ? [] : [direction === 'in' ? '-s' : '-d', printAddress(peer)]),
        ...(port === undefined ? ['-p', String(protocol)] : ['-p', 'udp', '-m', 'udp', '--dport', String(port)]),
      ];
    }
    case 'connections':
      return ['-m', 'connmark', '!', '--mark', `0x0/0x${traffic.mask.toString(16)}`];
  }
}

/** The rule for iptables-restore, from its conditions on. */
export const iptablesRule = (traffic: WrittenTraffic): string =>
  [...iptablesWords(traffic), '-m', 'comment', '--comment', ACCEPT_TAG, '-j', 'ACCEPT'].join(' ');

/** What a tagged rule lets through; `other` where it is none that we write. */
export function trafficOf(from: Rule): AcceptTraffic {
  const other: AcceptTraffic = {
    kind: 'other',
    text:
      from.text ??
      printReference({ table: { family: 'inet', name: '' }, chain: '', rule: from }).slice('inet  : '.length),
  };
  const tests = from.statements.filter(({ kind }) => kind !== 'counter');
  const verdict = tests.pop();
  if (verdict?.kind !== 'verdict' || verdict.verdict.kind !== 'accept') return other;
  const found: Found = {};
  for (const test of tests) if (!note(test, found)) return other;
  const { iifname, oifname, mask, protocol, port, saddr, daddr, ...none } = found;
  const asked = Object.keys(found).length;
  if (iifname !== undefined && asked === 1) return { kind: 'link', link: iifname, direction: 'in' };
  if (oifname !== undefined && asked === 1) return { kind: 'link', link: oifname, direction: 'out' };
  if (mask !== undefined && asked === 1) return { kind: 'connections', mask };
  const isOuter = protocol !== undefined && iifname === undefined && oifname === undefined && mask === undefined;
  if (!isOuter || (saddr !== undefined && daddr !== undefined)) return other;
  const peer = saddr ?? daddr;
  return {
    ...{ kind: 'outer', direction: daddr === undefined ? 'in' : 'out', protocol, ...none },
    ...(port !== undefined && { port }),
    ...(peer !== undefined && { peer }),
  };
}

interface Found {
  iifname?: string;
  oifname?: string;
  mask?: number;
  protocol?: number;
  port?: number;
  saddr?: Address;
  daddr?: Address;
}

const UDP = 17;

/** Takes one condition; false where it is none that we write. */
function note(test: Statement, found: Found): boolean {
  if (test.kind !== 'match') return false;
  const { left, op, right } = test;
  if (left.kind === 'binary') {
    const isMark = left.operator === '&' && left.left.kind === 'ct' && left.left.key === 'mark';
    if (!isMark || left.right.kind !== 'number' || op !== '!=' || right.kind !== 'number' || right.value !== 0)
      return false;
    found.mask = left.right.value;
    return true;
  }
  if (op !== '==') return false;
  if (left.kind === 'meta' && (left.key === 'iifname' || left.key === 'oifname') && right.kind === 'string') {
    found[left.key] = right.text;
    return true;
  }
  if (left.kind === 'meta' && left.key === 'l4proto') {
    const protocol = PROTOCOLS.find((each) => normalProtocol(each) === nameIn(right));
    if (protocol === undefined) return false;
    found.protocol = protocol;
    return true;
  }
  if (left.kind !== 'payload') return false;
  if (left.field === 'dport' && right.kind === 'number') {
    if (left.protocol === 'udp') found.protocol = UDP;
    found.port = right.value;
    return true;
  }
  const isAddress = left.field === 'saddr' || left.field === 'daddr';
  if (!isAddress || right.kind !== 'address') return false;
  found[left.field] = right.address;
  return true;
}

/** UDP, and packets in packets: IPv4, IPv6 and GRE (RFC 2003, 4213, 2784). */
const PROTOCOLS = [UDP, 4, 41, 47];
const nameIn = (right: Extract<Statement, { readonly kind: 'match' }>['right']): string | number | undefined => {
  if (right.kind === 'symbol') return normalProtocol(right.name);
  return right.kind === 'number' ? normalProtocol(right.value) : undefined;
};
