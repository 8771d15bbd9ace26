/** The node and edge rulesets that ran whole in the trials, as the builders write them; for tests. */
import { type Address, parseAddress } from '../net/index.ts';
import * as nft from './build.ts';
import type { Expression, Rule, Table, Value } from './ruleset.ts';

/** An address that a test writes down. */
export function ip(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(`not an address: ${text}`);
  return address;
}

const keep = 0xff00_ffff;
const mask = 0x00ff_0000;
const zone = (link: string, id: number): Rule =>
  nft.rule(nft.match(nft.meta('iifname'), '==', nft.text(link)), nft.assign(nft.ct('zone', 'original'), id));
const mark = (link: string, value: number): Rule =>
  nft.rule(
    nft.match(nft.meta('iifname'), '==', nft.text(link)),
    nft.match(nft.ct('direction'), '==', nft.symbol('original')),
    nft.match(nft.ct('state'), 'in', nft.symbol('new')),
    nft.assign(nft.ct('mark'), nft.or(nft.and(nft.ct('mark'), keep), value)),
  );
const restore = nft.rule(
  nft.match(nft.ct('direction'), '==', nft.symbol('reply')),
  nft.verdictMap(
    nft.and(nft.ct('mark'), mask),
    nft.anonymousMap(
      nft.mapElement(nft.number(0x1_0000), { kind: 'jump', chain: 'sp_1' }),
      nft.mapElement(nft.number(0x2_0000), { kind: 'jump', chain: 'sp_2' }),
    ),
  ),
);
const setMark = (value: number): Rule =>
  nft.rule(nft.assign(nft.meta('mark'), nft.or(nft.and(nft.meta('mark'), keep), value)));

/** dataplane.md, section 5: what a node with two edges needs. */
export const nodeTable: Table = {
  family: 'inet',
  name: 'sallyport',
  sets: [],
  maps: [],
  chains: [
    nft.baseChain(
      'sp_zone',
      { type: 'filter', hook: 'prerouting', priority: -300 },
      zone('sp-e1', 1),
      zone('sp-e2', 2),
    ),
    nft.baseChain(
      'sp_pre',
      { type: 'filter', hook: 'prerouting', priority: -150 },
      mark('sp-e1', 0x1_0000),
      mark('sp-e2', 0x2_0000),
      restore,
    ),
    nft.baseChain('sp_out', { type: 'route', hook: 'output', priority: -150 }, restore),
    nft.regularChain('sp_1', setMark(0x1_0000)),
    nft.regularChain('sp_2', setMark(0x2_0000)),
    nft.baseChain('sp_clash', { type: 'nat', hook: 'input', priority: 100 }),
    nft.baseChain(
      'sp_main',
      { type: 'nat', hook: 'prerouting', priority: -90 },
      nft.rule(
        nft.match(nft.meta('iifname'), '==', nft.anonymousSet(nft.text('sp-e1'), nft.text('sp-e2'))),
        nft.match(
          nft.payload('ip', 'daddr'),
          '==',
          nft.anonymousSet(nft.address(ip('10.90.1.2')), nft.address(ip('10.90.2.2'))),
        ),
        nft.dnat('ip', nft.address(ip('192.168.1.20'))),
      ),
    ),
  ],
  opaque: [],
};

const target: Expression = nft.join(nft.payload('ip', 'daddr'), nft.meta('l4proto'), nft.payload('th', 'dport'));
const at = (address: string, protocol: string, port: Value): Value =>
  nft.concat(nft.address(ip(address)), nft.symbol(protocol), port);
const transports = nft.match(nft.meta('l4proto'), '==', nft.anonymousSet(nft.symbol('tcp'), nft.symbol('udp')));

/** An edge: exact forwards in a hash map, ranges in an interval map of their own. */
export const edgeTable: Table = {
  family: 'inet',
  name: 'sallyport',
  sets: [
    {
      name: 'sp_allow',
      type: ['ipv4_addr'],
      flags: ['interval'],
      elements: [nft.setElement(nft.prefix({ address: ip('198.51.100.0'), length: 24 }), 'office')],
    },
  ],
  maps: [
    {
      name: 'sp_to4',
      type: ['ipv4_addr', 'inet_proto', 'inet_service'],
      data: ['ipv4_addr', 'inet_service'],
      flags: [],
      elements: [
        nft.mapElement(
          at('198.51.100.10', 'tcp', nft.number(80)),
          nft.concat(nft.address(ip('10.90.0.2')), nft.number(8080)),
          'web',
        ),
        nft.mapElement(
          at('198.51.100.10', 'udp', nft.number(53)),
          nft.concat(nft.address(ip('10.90.0.2')), nft.number(53)),
        ),
      ],
    },
    {
      name: 'sp_to4r',
      type: ['ipv4_addr', 'inet_proto', 'inet_service'],
      data: ['ipv4_addr'],
      flags: ['interval'],
      elements: [nft.mapElement(at('198.51.100.10', 'udp', nft.range(30_000, 30_100)), nft.address(ip('10.90.0.2')))],
    },
  ],
  chains: [
    nft.baseChain(
      'sp_dnat',
      { type: 'nat', hook: 'prerouting', priority: -101 },
      nft.rule('exact ports', transports, nft.dnat('ip', nft.lookup(target, nft.setReference('sp_to4')))),
      nft.rule('ranges', transports, nft.dnat('ip', nft.lookup(target, nft.setReference('sp_to4r')))),
    ),
    nft.baseChain(
      'sp_forward',
      { type: 'filter', hook: 'forward', priority: 0 },
      nft.rule(
        nft.match(nft.meta('oifname'), '==', nft.text('sp-node')),
        nft.match(nft.ct('status'), 'in', nft.symbol('dnat')),
        nft.accept,
      ),
      nft.rule(nft.match(nft.meta('oifname'), '==', nft.text('sp-node')), nft.counter, nft.drop),
    ),
    nft.baseChain(
      'sp_clamp',
      { type: 'filter', hook: 'postrouting', priority: -150 },
      nft.rule(
        nft.match(nft.meta('oifname'), '==', nft.text('sp-*')),
        nft.match(nft.and(nft.payload('tcp', 'flags'), nft.flags('syn', 'rst')), '==', nft.symbol('syn')),
        nft.assign(nft.tcpOption('maxseg', 'size'), 1_380),
      ),
    ),
    nft.baseChain(
      'sp_masquerade',
      { type: 'nat', hook: 'postrouting', priority: 100 },
      nft.rule(nft.match(nft.and(nft.ct('mark'), mask), '==', 0x1_0000), nft.masquerade({ flags: ['random'] })),
    ),
  ],
  opaque: [],
};
