/** Matches on ports, TCP flags and ICMP types. */
import type { Family } from '../net/index.ts';
import type { Expression, Value } from '../nftables/index.ts';
import * as nft from '../nftables/index.ts';
import { all, always, type Condition, eachOption, equality, type Match, type ReadOption } from './condition.ts';
import { readNumber, readRange } from './value.ts';

const PORT = 0xffff;

const portIs =
  (protocol: string, field: 'sport' | 'dport'): ReadOption =>
  (option) => {
    const wanted = readRange(option.values[0], PORT);
    return wanted && all(nft.match(nft.payload(protocol, field), equality(option), wanted));
  };

/** TCP flags as bits (RFC 9293, 3.1). */
const tcpFlags: Readonly<Record<string, number>> = {
  ...{ FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ALL: 63, NONE: 0 },
};
const readFlags = (text: string | undefined): number | undefined =>
  text?.split(',').reduce<number | undefined>((bits, name) => {
    const bit = tcpFlags[name.toUpperCase()];
    return bits === undefined || bit === undefined ? undefined : bits | bit;
  }, 0);

const flagsAre: ReadOption = (option) => {
  const [mask, wanted] = option.values.map(readFlags);
  if (mask === undefined || wanted === undefined) return undefined;
  return all(nft.match(nft.and(nft.payload('tcp', 'flags'), mask), equality(option), wanted));
};
/** `--syn` is `--tcp-flags FIN,SYN,RST,ACK SYN`. */
const isSyn: ReadOption = (option) => all(nft.match(nft.and(nft.payload('tcp', 'flags'), 0x17), equality(option), 2));

const portOptions = (protocol: string): Readonly<Record<string, ReadOption>> => ({
  '--sport': portIs(protocol, 'sport'),
  '--source-port': portIs(protocol, 'sport'),
  '--dport': portIs(protocol, 'dport'),
  '--destination-port': portIs(protocol, 'dport'),
});
const portValues = { '--sport': 1, '--source-port': 1, '--dport': 1, '--destination-port': 1 };
const ported = (protocol: string): Match => ({ values: portValues, read: eachOption(portOptions(protocol)) });

const tcp: Match = {
  values: { ...portValues, '--tcp-flags': 2, '--syn': 0, '--tcp-option': 1 },
  read: eachOption({ ...portOptions('tcp'), '--tcp-flags': flagsAre, '--syn': isSyn }),
};

/** `80,443,1000:2000`, for any protocol with ports. */
function readPorts(text: string | undefined): Expression | undefined {
  const values: Value[] = [];
  for (const part of (text ?? '').split(',')) {
    const value = readRange(part, PORT);
    if (value === undefined) return undefined;
    values.push(value);
  }
  return nft.anonymousSet(...values);
}

const anyPortIs =
  (first: 'sport' | 'dport', second?: 'sport' | 'dport'): ReadOption =>
  (option, { protocol }) => {
    const wanted = readPorts(option.values[0]);
    if (wanted === undefined) return undefined;
    const test = (field: 'sport' | 'dport', op: '==' | '!=') =>
      nft.match(nft.payload(portedWord(protocol), field), op, wanted);
    if (second === undefined) return all(test(first, equality(option)));
    if (option.negated) return all(test(first, '!='), test(second, '!='));
    return [[test(first, '==')], [test(first, '!='), test(second, '==')]];
  };
const portedWord = (protocol: string | undefined): string => {
  const word = protocol === undefined ? undefined : nft.normalProtocol(readNumber(protocol) ?? protocol);
  return word === 'tcp' || word === 'udp' || word === 'sctp' || word === 'dccp' || word === 'udplite' ? word : 'th';
};

const multiport: Match = {
  values: { '--sports': 1, '--source-ports': 1, '--dports': 1, '--destination-ports': 1, '--ports': 1 },
  read: eachOption({
    '--sports': anyPortIs('sport'),
    '--source-ports': anyPortIs('sport'),
    '--dports': anyPortIs('dport'),
    '--destination-ports': anyPortIs('dport'),
    '--ports': anyPortIs('sport', 'dport'),
  }),
};

/** Names of ICMP types, with a code where they mean one (libxt_icmp.h). iptables-save writes numbers. */
const icmpNames: Readonly<Record<Family, Readonly<Record<string, string>>>> = {
  4: {
    ...{ 'echo-reply': '0', pong: '0', 'destination-unreachable': '3', 'network-unreachable': '3/0' },
    ...{ 'host-unreachable': '3/1', 'protocol-unreachable': '3/2', 'port-unreachable': '3/3' },
    ...{ 'fragmentation-needed': '3/4', 'source-quench': '4', redirect: '5', 'echo-request': '8', ping: '8' },
    ...{ 'router-advertisement': '9', 'router-solicitation': '10', 'time-exceeded': '11', 'ttl-exceeded': '11' },
    ...{ 'parameter-problem': '12', 'timestamp-request': '13', 'timestamp-reply': '14' },
  },
  6: {
    ...{ 'destination-unreachable': '1', 'no-route': '1/0', 'communication-prohibited': '1/1', 'beyond-scope': '1/2' },
    ...{ 'address-unreachable': '1/3', 'port-unreachable': '1/4', 'packet-too-big': '2', 'time-exceeded': '3' },
    ...{ 'ttl-exceeded': '3', 'parameter-problem': '4', 'echo-request': '128', ping: '128', 'echo-reply': '129' },
    ...{ pong: '129', 'router-solicitation': '133', 'router-advertisement': '134' },
    ...{ 'neighbour-solicitation': '135', 'neighbor-solicitation': '135', 'neighbour-advertisement': '136' },
    ...{ 'neighbor-advertisement': '136', redirect: '137' },
  },
};

const icmpIs =
  (family: Family): ReadOption =>
  (option) => {
    const named = (option.values[0] ?? '').toLowerCase();
    if (named === 'any') return option.negated ? [] : always;
    const [typeText, codeText, ...others] = (icmpNames[family][named] ?? named).split('/');
    const type = readNumber(typeText, 0xff);
    const code = codeText === undefined ? undefined : readNumber(codeText, 0xff);
    if (type === undefined || others.length > 0 || (codeText !== undefined && code === undefined)) return undefined;
    const field = (of: 'type' | 'code'): Expression => nft.payload(family === 4 ? 'icmp' : 'icmpv6', of);
    if (code === undefined) return all(nft.match(field('type'), equality(option), type));
    const ways: Condition = [
      [nft.match(field('type'), '!=', type)],
      [nft.match(field('type'), '==', type), nft.match(field('code'), '!=', code)],
    ];
    return option.negated ? ways : all(nft.match(field('type'), '==', type), nft.match(field('code'), '==', code));
  };

/** By the name after `-m`. */
export const transportMatches: Readonly<Record<string, Match>> = {
  tcp,
  udp: ported('udp'),
  udplite: ported('udplite'),
  dccp: ported('dccp'),
  sctp: ported('sctp'),
  multiport,
  icmp: { values: { '--icmp-type': 1 }, read: eachOption({ '--icmp-type': icmpIs(4) }) },
  icmp6: { values: { '--icmpv6-type': 1 }, read: eachOption({ '--icmpv6-type': icmpIs(6) }) },
};
