import { describe, expect, test } from 'vitest';
import { parseAddress, parseInterfaceAddress, parsePrefix } from '../net/index.ts';
import { printTable } from '../nftables/index.ts';
import { MAIN_TABLE, printRoute, printRule, type Route } from '../routing/index.ts';
import { readQuickFile } from '../wireguard/index.ts';
import { compileMend, compilePodTunnel, type PodFacts, type PodOptions } from './index.ts';

const OPTIONS: PodOptions = { link: 'wg0', masquerade: false, byAddress: false };
const PEER = '[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\nAllowedIPs = ';

const fileOf = (text: string) => {
  const read = readQuickFile(text);
  if (read.kind !== 'file') throw new Error(JSON.stringify(read.problems));
  return read.file;
};
const must = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('not to be read');
  return value;
};
const route = (to: string, link: string, more: Partial<Route> = {}): Route => ({
  ...{ table: MAIN_TABLE, destination: must(parsePrefix(to)), type: 'unicast', link, metric: 0, protocol: 2, ...more },
});
const via = (text: string) => ({ gateway: must(parseAddress(text)), protocol: 3 });
const facts = (more: Partial<PodFacts> = {}): PodFacts => ({
  addresses: [{ link: 'eth0', address: must(parseInterfaceAddress('10.0.1.5/24')), scope: 'global' }],
  routes: [route('0.0.0.0/0', 'eth0', via('10.0.1.1')), route('10.0.1.0/24', 'eth0')],
  ...{ rules: [], otherMarks: new Set(), families: new Set([4, 6]), ...more },
});
const compiled = (text: string, given = facts(), options = OPTIONS) => {
  const { routes, rules, table, ...rest } = compilePodTunnel(fileOf(text), given, options);
  return { ...rest, routes: routes.map(printRoute), rules: rules.map(printRule), table: table && printTable(table) };
};

describe('where packets of the pod go', () => {
  test('by the tunnel but for its own networks, with the mark of wg-quick', () => {
    const { routes, rules, mark } = compiled(`[Interface]\nAddress = 10.11.0.1/16\n${PEER}0.0.0.0/0`);
    expect(mark).toBe(51_820);
    expect(routes).toEqual(['default dev wg0 table 51820 proto 82']);
    expect(rules).toEqual([
      '32764: from all lookup main suppress_prefixlength 0 proto 82',
      '32765: not from all fwmark 0xca6c lookup 51820 proto 82',
    ]);
  });

  test('what is narrower than a network of the pod goes before that, the pod and its subnet stay', () => {
    const { routes, rules } = compiled(`[Interface]\n${PEER}10.0.0.0/8, 10.0.1.77/32`);
    expect(routes).toEqual(['10.0.0.0/8 dev wg0 table 51820 proto 82', '10.0.1.77/32 dev wg0 table 51821 proto 82']);
    expect(rules).toEqual([
      '32763: not from all fwmark 0xca6c lookup 51821 proto 82',
      '32764: from all lookup main suppress_prefixlength 0 proto 82',
      '32765: not from all fwmark 0xca6c lookup 51820 proto 82',
    ]);
  });

  test('another line answers by itself', () => {
    const two = facts({
      routes: [
        ...facts().routes,
        route('0.0.0.0/0', 'net1', { ...via('10.7.0.1'), metric: 100 }),
        route('10.7.0.0/24', 'net1'),
      ],
    });
    const { routes, rules, table } = compiled(`[Interface]\n${PEER}0.0.0.0/0`, two);
    expect(routes).toEqual([
      'default dev wg0 table 51820 proto 82',
      'default via 10.7.0.1 dev net1 table 51822 proto 82 metric 100',
      '10.7.0.0/24 dev net1 table 51822 proto 82',
    ]);
    expect(rules[0]).toBe('32763: from all fwmark 0xca6e lookup 51822 proto 82');
    expect(table).toContain(
      'iifname "net1" ct state == new ct direction original ct mark 0x00000000 ct mark set 0x0000ca6e',
    );
  });

  test('strict rp_filter that sees no marks: by its address, too', () => {
    const { rules } = compiled(`[Interface]\n${PEER}0.0.0.0/0`, facts(), { ...OPTIONS, byAddress: true });
    expect(rules[0]).toBe('32763: from 10.0.1.5/32 lookup main proto 82');
  });

  test('marks and tables of others are left to them', () => {
    const taken = facts({ routes: [...facts().routes, route('0.0.0.0/0', 'wg9', { table: 51_821 })] });
    expect(compiled(`[Interface]\n${PEER}0.0.0.0/0`, taken).mark).toBe(51_836);
    expect(compiled(`[Interface]\n${PEER}0.0.0.0/0`, facts({ otherMarks: new Set([51_820]) })).mark).toBe(51_836);
    expect(compiled(`[Interface]\nFwMark = 77\n${PEER}0.0.0.0/0`, taken).mark).toBe(77);
  });
});

describe('Table', () => {
  test('off: no route, no rule, no mark', () => {
    expect(compiled(`[Interface]\nTable = off\n${PEER}0.0.0.0/0`)).toMatchObject({
      routes: [],
      rules: [],
      mark: 0,
      table: undefined,
    });
  });
  test('a number: routes there, and no rule', () => {
    const { routes, rules } = compiled(`[Interface]\nTable = 123\n${PEER}0.0.0.0/0`);
    expect([routes, rules]).toEqual([['default dev wg0 table 123 proto 82'], []]);
  });
});

test('IPv6 that is off is left out, and said', () => {
  const { addresses, routes, notes } = compiled(
    `[Interface]\nAddress = 10.11.0.1/16, fd11::1/64\n${PEER}0.0.0.0/0, ::/0`,
    facts({ families: new Set([4]) }),
  );
  expect([addresses.length, routes.length, notes]).toEqual([
    1,
    1,
    ['IPv6 is off here: what the file says of it is left out'],
  ]);
});

test('masquerade is for what peers send, and for nobody else', () => {
  const { table } = compiled(`[Interface]\nAddress = 10.11.0.1/16\n${PEER}10.11.0.2/32, 192.168.7.0/24`, facts(), {
    ...OPTIONS,
    masquerade: true,
  });
  expect(table).toContain(
    'iifname "wg0" oifname != { "wg0", "lo" } ip saddr { 10.11.0.0/16, 192.168.7.0/24 } masquerade',
  );
});

test('beside wg-quick: nothing of its tunnel is touched', () => {
  const { ownsLink, routes, rules, addresses } = compileMend(facts(), { link: 'wg0', byAddress: false }, 51_820);
  expect([ownsLink, routes, rules, addresses]).toEqual([false, [], [], []]);
});
