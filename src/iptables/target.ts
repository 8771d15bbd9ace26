/** What a rule does with the packets it matches, in nft's statements. */
import { type Address, addressBits, parseAddress } from '../net/index.ts';
import type { Expression, Statement, Value } from '../nftables/index.ts';
import * as nft from '../nftables/index.ts';
import type { RuleContext } from './condition.ts';
import type { Option, Part } from './rule-line.ts';
import { readMasked, readMaskedAddress, readNumber, readRange } from './value.ts';

/** How a target is read: the values each option takes, and what it does; undefined where that has no equal in nft's type. */
export interface Target {
  readonly values: Readonly<Record<string, number>>;
  readonly read: (options: readonly Option[], context: RuleContext) => readonly Statement[] | undefined;
}

const wordOf = (options: readonly Option[], ...names: readonly string[]): string | undefined =>
  options.find(({ name }) => names.includes(name))?.values[0];
const has = (options: readonly Option[], name: string): boolean => options.some((option) => option.name === name);

const fixed = (...statements: readonly Statement[]): Target => ({ values: {}, read: () => statements });

const bitsBut = (mask: number): number => ~mask >>> 0;

/** `(of & ~cleared) ^ flipped`, as the kernel works it out; where the one is part of the other, `|` says the same. */
function withBits(of: Expression, cleared: number, flipped: number): Expression {
  if (cleared === 0xffffffff) return nft.number(flipped);
  const kept = cleared === 0 ? of : nft.and(of, bitsBut(cleared));
  if (flipped === 0) return kept;
  return (flipped & bitsBut(cleared)) === 0 ? nft.or(kept, flipped) : nft.xor(kept, flipped);
}

/** The options by which MARK and CONNMARK write a constant (libxt_MARK.c): each is `--set-xmark` in other words. */
function readMarkBits(options: readonly Option[]): { readonly cleared: number; readonly flipped: number } | undefined {
  const [option, ...others] = options;
  if (option === undefined || others.length > 0) return undefined;
  const masked = readMasked(option.values[0]);
  if (masked === undefined) return undefined;
  const { value, mask } = masked;
  switch (option.name) {
    case '--set-xmark':
      return { cleared: mask, flipped: value };
    case '--set-mark':
      return { cleared: (value | mask) >>> 0, flipped: value };
    case '--and-mark':
      return { cleared: bitsBut(value), flipped: 0 };
    case '--or-mark':
      return { cleared: value, flipped: value };
    case '--xor-mark':
      return { cleared: 0, flipped: value };
    default:
      return undefined;
  }
}

const markOptions = { '--set-xmark': 1, '--set-mark': 1, '--and-mark': 1, '--or-mark': 1, '--xor-mark': 1 };

const MARK: Target = {
  values: markOptions,
  read: (options) => {
    const bits = readMarkBits(options);
    return bits && [nft.assign(nft.meta('mark'), withBits(nft.meta('mark'), bits.cleared, bits.flipped))];
  },
};

/** xt_connmark.c, connmark_tg_shift: what is moved is masked, then shifted, then flipped into what is kept. */
const CONNMARK: Target = {
  values: {
    ...markOptions,
    ...{ '--save-mark': 0, '--restore-mark': 0, '--nfmask': 1, '--ctmask': 1, '--mask': 1 },
    ...{ '--left-shift-mark': 1, '--right-shift-mark': 1 },
  },
  read: (options) => {
    const isShift = ({ name }: Option): boolean => name.endsWith('-shift-mark');
    const shift = options.find(isShift);
    const by = shift === undefined ? 0 : readNumber(shift.values[0], 31);
    if (by === undefined) return undefined;
    const shifted = (of: Expression): Expression =>
      shift === undefined || by === 0
        ? of
        : { kind: 'binary', operator: shift.name.startsWith('--left') ? '<<' : '>>', left: of, right: nft.number(by) };
    const rest = options.filter((option) => !isShift(option));
    const isSave = has(rest, '--save-mark');
    if (!isSave && !has(rest, '--restore-mark')) {
      const bits = readMarkBits(rest);
      return bits && [nft.assign(nft.ct('mark'), shifted(withBits(nft.ct('mark'), bits.cleared, bits.flipped)))];
    }
    const mask = (name: string): number | undefined => {
      const text = wordOf(rest, name, '--mask');
      return text === undefined ? 0xffffffff : readNumber(text);
    };
    const [packetMask, connectionMask] = [mask('--nfmask'), mask('--ctmask')];
    if (packetMask === undefined || connectionMask === undefined) return undefined;
    const packet = { of: nft.meta('mark'), mask: packetMask };
    const connection = { of: nft.ct('mark'), mask: connectionMask };
    const [from, to] = isSave ? [packet, connection] : [connection, packet];
    const moved = shifted(from.mask === 0xffffffff ? from.of : nft.and(from.of, from.mask));
    const value = to.mask === 0xffffffff ? moved : xorOf(nft.and(to.of, bitsBut(to.mask)), moved);
    return [nft.assign(to.of, value)];
  },
};
const xorOf = (left: Expression, right: Expression): Expression => ({ kind: 'binary', operator: '^', left, right });

/** `--random`, `--random-fully`, `--persistent` in nft's words. */
const natFlags = (options: readonly Option[]): readonly string[] =>
  [
    ['--random', 'random'],
    ['--random-fully', 'fully-random'],
    ['--persistent', 'persistent'],
  ].flatMap(([option = '', flag = '']) => (has(options, option) ? [flag] : []));
const flagOptions = { '--random': 0, '--random-fully': 0, '--persistent': 0 };

/** `10.0.0.1-10.0.0.9:80-90`, `[fd00::1]:80`, `:80`. A third port, the base of a shift, has no equal in nft's type. */
function readTranslation(text: string, family: 4 | 6): { readonly address?: Value; readonly port?: Value } | undefined {
  const [, bracketed, plain, portText] =
    /^(?:\[([^\]]*)\]|([^:[\]]*(?:(?::[^:]*){2,})?))(?::([0-9-]+))?$/.exec(text) ?? [];
  const addressText = bracketed ?? plain;
  if (addressText === undefined) return undefined;
  const address = addressText === '' ? undefined : readEnds(addressText, family);
  const port = portText === undefined ? undefined : readRange(portText, 0xffff, '-');
  if ((address === undefined) !== (addressText === '') || (port === undefined) !== (portText === undefined))
    return undefined;
  return { ...(address !== undefined && { address }), ...(port !== undefined && { port }) };
}

/** `10.0.0.1:80-90/8080`: the first port of the range stands for the last number, and so on. The evaluator knows it in numbers. */
function readShifted(
  text: string,
  family: 4 | 6,
): { readonly address?: string; readonly first: number; readonly last: number; readonly base: number } | undefined {
  const [, to = '', baseText] = /^(.*)\/([0-9]+)$/.exec(text) ?? [];
  const [, addressText = '', firstText, lastText] = /^(.*):([0-9]+)-([0-9]+)$/.exec(to) ?? [];
  const [first, last, base] = [firstText, lastText, baseText].map((each) => readNumber(each, 0xffff));
  const plain = addressText.replace(/^\[(.*)\]$/, '$1');
  if (first === undefined || last === undefined || base === undefined || last < first) return undefined;
  if (plain !== '' && parseAddress(plain)?.family !== family) return undefined;
  return { ...(plain !== '' && { address: plain }), first, last, base };
}

function readEnds(text: string, family: 4 | 6): Value | undefined {
  const dash = text.indexOf('-');
  const first = parseAddress(dash === -1 ? text : text.slice(0, dash).replace(/\]$/, ''));
  const last = dash === -1 ? first : parseAddress(text.slice(dash + 1).replace(/^\[/, ''));
  if (first?.family !== family || last?.family !== family) return undefined;
  return first.value === last.value ? nft.address(first) : nft.range(nft.address(first), nft.address(last));
}

const translation = (kind: 'dnat' | 'snat', name: string): Target => ({
  values: { [name]: 1, ...flagOptions },
  read: (options, { family }) => {
    const shifted = kind === 'dnat' ? readShifted(wordOf(options, name) ?? '', family) : undefined;
    if (shifted !== undefined && options.length === 1) {
      const words = `${name} ${wordOf(options, name)}`;
      return [{ kind: 'opaque', json: { xt: { type: 'target', name: 'DNAT', words, on: shifted } } }];
    }
    const to = readTranslation(wordOf(options, name) ?? '', family);
    if (to === undefined || options.filter((option) => option.name === name).length !== 1) return undefined;
    return [{ kind, family: family === 4 ? 'ip' : 'ip6', ...to, flags: natFlags(options) }];
  },
});

const localTranslation = (kind: 'masquerade' | 'redirect'): Target => ({
  values: { '--to-ports': 1, '--to-port': 1, ...flagOptions },
  read: (options) => {
    const text = wordOf(options, '--to-ports', '--to-port');
    const port = text === undefined ? undefined : readRange(text, 0xffff, '-');
    if (text !== undefined && port === undefined) return undefined;
    return [{ kind, ...(port !== undefined && { port }), flags: natFlags(options) }];
  },
});

/** The network's bits in place of the packet's: of the destination before routing, of the source after it (xt_NETMAP.c). */
const NETMAP: Target = {
  values: { '--to': 1 },
  read: (options, { family, hook }) => {
    const to = readMaskedAddress(wordOf(options, '--to') ?? '', family);
    if (to === undefined || hook === undefined) return undefined;
    const isSource = hook === 'POSTROUTING' || hook === 'INPUT';
    const ones = (1n << BigInt(addressBits(family))) - 1n;
    const hostBits: Address = { family, value: ones ^ to.mask.value };
    const kept = nft.and(nft.payload(family === 4 ? 'ip' : 'ip6', isSource ? 'saddr' : 'daddr'), nft.address(hostBits));
    const make = isSource ? nft.snat : nft.dnat;
    return [make(family === 4 ? 'ip' : 'ip6', nft.or(kept, nft.address(to.address)))];
  },
};

/** nft's words for what a packet is refused with, without `icmp-` or `icmp6-`. */
const icmpAnswers: Readonly<Record<4 | 6, Readonly<Record<string, string>>>> = {
  4: {
    ...{ 'icmp-net-unreachable': 'net-unreachable', 'icmp-host-unreachable': 'host-unreachable' },
    ...{ 'icmp-proto-unreachable': 'prot-unreachable', 'icmp-port-unreachable': 'port-unreachable' },
    ...{ 'icmp-net-prohibited': 'net-prohibited', 'icmp-host-prohibited': 'host-prohibited' },
    ...{ 'icmp-admin-prohibited': 'admin-prohibited' },
  },
  6: {
    ...{ 'icmp6-no-route': 'no-route', 'icmp6-adm-prohibited': 'admin-prohibited' },
    ...{ 'icmp6-addr-unreachable': 'addr-unreachable', 'icmp6-port-unreachable': 'port-unreachable' },
    ...{ 'icmp6-policy-fail': 'policy-fail', 'icmp6-reject-route': 'reject-route' },
  },
};

const REJECT: Target = {
  values: { '--reject-with': 1 },
  read: (options, { family }) => {
    const answer =
      wordOf(options, '--reject-with') ?? (family === 4 ? 'icmp-port-unreachable' : 'icmp6-port-unreachable');
    if (answer === 'tcp-reset') return [nft.reject('tcp reset')];
    const word = icmpAnswers[family][answer];
    return word === undefined ? undefined : [nft.reject(family === 4 ? 'icmp' : 'icmpv6', nft.symbol(word))];
  },
};

const TCPMSS: Target = {
  values: { '--set-mss': 1, '--clamp-mss-to-pmtu': 0 },
  read: (options) => {
    const size = readNumber(wordOf(options, '--set-mss'), 0xffff);
    const value = has(options, '--clamp-mss-to-pmtu')
      ? nft.rt('mtu')
      : size === undefined
        ? undefined
        : nft.number(size);
    return value && [nft.assign(nft.tcpOption('maxseg', 'size'), value)];
  },
};

/** nft's type has no word for it; the evaluator knows what it says in numbers. */
const TPROXY: Target = {
  values: { '--on-port': 1, '--on-ip': 1, '--tproxy-mark': 1 },
  read: (options, { family }) => {
    const [port, mark] = [
      readNumber(wordOf(options, '--on-port'), 0xffff),
      readMasked(wordOf(options, '--tproxy-mark') ?? '0/0'),
    ];
    const ip = wordOf(options, '--on-ip');
    const address = ip === undefined ? undefined : parseAddress(ip);
    if (port === undefined || mark === undefined || options.some(({ negated }) => negated)) return undefined;
    if (ip !== undefined && address?.family !== family) return undefined;
    const words = options.map(({ name, values }) => [name, ...values].join(' ')).join(' ');
    // All zeroes: the address of the link it came by.
    const on = {
      ...(address !== undefined && address.value !== 0n && { address: ip }),
      port,
      mark: mark.value,
      mask: mark.mask,
    };
    return [{ kind: 'opaque', json: { xt: { type: 'target', name: 'TPROXY', words, on } } }];
  },
};

/** Helpers, timeouts and events leave a packet's way alone. */
const CT: Target = {
  values: {
    ...{ '--notrack': 0, '--zone': 1, '--zone-orig': 1, '--zone-reply': 1 },
    ...{ '--helper': 1, '--timeout': 1, '--ctevents': 1, '--expevents': 1 },
  },
  read: (options) => {
    const statements: Statement[] = [];
    for (const { name, values } of options) {
      if (name === '--notrack') statements.push(nft.notrack);
      else if (name.startsWith('--zone')) {
        const id = values[0] === 'mark' ? nft.meta('mark') : readZone(values[0]);
        const direction = name === '--zone' ? undefined : name === '--zone-orig' ? 'original' : 'reply';
        if (id === undefined) return undefined;
        // A packet that is untracked already stays so: only nft's own zone takes it back (xt_ct_target).
        if (statements.length === 0) statements.push(nft.match(nft.ct('state'), '!=', nft.symbol('untracked')));
        statements.push(nft.assign(nft.ct('zone', direction), id));
      } else statements.push({ kind: 'opaque', json: { 'ct helper': `${name.slice(2)} ${values.join(' ')}` } });
    }
    return statements;
  },
};
const readZone = (text: string | undefined): Value | undefined => {
  const id = readNumber(text, 0xffff);
  return id === undefined ? undefined : nft.number(id);
};

const CONNSECMARK: Target = {
  values: { '--save': 0, '--restore': 0 },
  read: (options) =>
    has(options, '--save')
      ? [nft.assign(nft.ct('secmark'), nft.meta('secmark'))]
      : [nft.assign(nft.meta('secmark'), nft.ct('secmark'))],
};

const DSCP: Target = {
  values: { '--set-dscp': 1, '--set-dscp-class': 1 },
  read: (options, { family }) => {
    const value = readNumber(wordOf(options, '--set-dscp'), 63);
    return value === undefined ? undefined : [nft.assign(nft.payload(family === 4 ? 'ip' : 'ip6', 'dscp'), value)];
  },
};

/** By the name after `-j`. */
export const targets: Readonly<Record<string, Target>> = {
  ...{ ACCEPT: fixed(nft.accept), DROP: fixed(nft.drop), RETURN: fixed(nft.returnVerdict) },
  ...{ MARK, CONNMARK, REJECT, NETMAP, TCPMSS, TPROXY, CT, CONNSECMARK, DSCP },
  DNAT: translation('dnat', '--to-destination'),
  SNAT: translation('snat', '--to-source'),
  MASQUERADE: localTranslation('masquerade'),
  REDIRECT: localTranslation('redirect'),
  NOTRACK: fixed(nft.notrack),
};

/** A match or target that has no equal in nft's type, in its own words. The evaluator knows those that change nothing. */
export const opaquePart = (type: 'match' | 'target', { name, words }: Part): Statement => ({
  kind: 'opaque',
  json: { xt: { type, name, ...(words === '' ? {} : { words }) } },
});
