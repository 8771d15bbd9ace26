/** What iptables wrote is observed as what it says; and looking at it changes nothing. */
import { expect, test } from 'vitest';
import { startNamespace } from '../../lab/index.ts';
import { printReference, type Table } from '../../nftables/index.ts';
import { namespaceTransport, type Transport } from '../../transport/index.ts';
import { linuxDriver } from '../index.ts';

const never = new AbortController().signal;

async function startHost() {
  const lab = await startNamespace();
  await lab.run(['ip', 'netns', 'add', 'host']);
  const real = namespaceTransport('host', 'host', {
    entry: ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'],
  });
  let trips = 0;
  const transport: Transport = {
    ...real,
    runAll(commands, signal) {
      trips++;
      return real.runAll(commands, signal);
    },
  };
  return {
    lab,
    inside: async (text: string) => (await lab.run(['nsenter', '--net=/run/netns/host', 'sh', '-ec', text])).stdout,
    observe: () => linuxDriver(transport).observe(never),
    trips: () => trips,
    /** Without the programs of that name. */
    hide: (pattern: string, more = ':') =>
      lab.run([
        'sh',
        '-ec',
        `mkdir /run/upper /run/work; mount -n -t overlay overlay -o lowerdir=/usr/sbin,upperdir=/run/upper,workdir=/run/work /usr/sbin; rm /usr/sbin/${pattern}; ${more}`,
      ]),
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

const shown = (tables: readonly Table[]): readonly string[] =>
  tables.flatMap((table) =>
    table.chains.flatMap(({ name, rules }) =>
      rules.map(
        (rule) =>
          `${table.origin ?? 'nft'} ${rule.handle ?? '-'} ${printReference({ table, chain: name, rule: { statements: rule.statements } })}`,
      ),
    ),
  );

/** Everything that a look might make: tables of both kinds, and the lists of the older kind. */
const STANDING = 'nft list ruleset; cat /proc/net/ip_tables_names /proc/net/ip6_tables_names';

test('without rules of iptables nothing more is asked, and looking makes none', async () => {
  await using host = await startHost();
  await host.inside('nft add table inet theirs; nft add table ip mangled');
  const before = await host.inside(STANDING);
  const facts = await host.observe();
  expect(host.trips()).toBe(1);
  expect(facts.state.tables.map(({ name, origin }) => [name, origin])).toEqual([
    ['theirs', undefined],
    ['mangled', undefined],
  ]);
  expect(facts.notes).toBeUndefined();
  expect(await host.inside(STANDING)).toBe(before);
});

test('rules that nft hides stand as what they say, with handle and text', async () => {
  await using host = await startHost();
  await host.inside(`
iptables-nft -A FORWARD -i eth0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables-nft -A FORWARD -p udp -m multiport --ports 53,67 -m mark --mark 0x1/0xf -j DROP
iptables-nft -A FORWARD -s 10.0.0.0/8 -j DROP
iptables-nft -t nat -A POSTROUTING -m comment --comment "two words" -j MASQUERADE
ip6tables-nft -A INPUT -m conntrack --ctstate INVALID -j REJECT`);
  const before = await host.inside(STANDING);
  const { state, notes } = await host.observe();
  expect(notes).toBeUndefined();
  expect(host.trips()).toBe(2);
  expect(await host.inside(STANDING)).toBe(before);
  const handles = [
    ...(await host.inside('nft -a list ruleset')).matchAll(
      /(?:accept|drop|MASQUERADE|masquerade|REJECT|reject).*# handle (\d+)$/gm,
    ),
  ].map(([, handle]) => handle);
  expect(handles).toHaveLength(5);
  const [established, multiport, source, masquerade, invalid] = handles;
  const two = 'meta l4proto udp udp sport';
  expect(shown(state.tables)).toEqual([
    `iptables-nft ${established} ip filter FORWARD: iifname "eth0" ct state established,related accept`,
    `iptables-nft ${multiport} ip filter FORWARD: ${two} { 53, 67 } meta mark & 0x0000000f == 0x00000001 drop`,
    `iptables-nft ${multiport} ip filter FORWARD: ${two} != { 53, 67 } udp dport { 53, 67 } meta mark & 0x0000000f == 0x00000001 drop`,
    `iptables-nft ${source} ip filter FORWARD: ip saddr 10.0.0.0/8 counter drop`,
    `iptables-nft ${masquerade} ip nat POSTROUTING: masquerade`,
    `iptables-nft ${invalid} ip6 filter INPUT: ct state invalid reject with icmpv6 type port-unreachable`,
  ]);
  const rules = state.tables.flatMap(({ chains }) => chains).flatMap((chain) => chain.rules);
  expect(rules.map(({ text }) => text)).toContain('-A POSTROUTING -m comment --comment "two words" -j MASQUERADE');
  expect(rules.find(({ comment }) => comment !== undefined)?.comment).toBe('two words');
});

test('tables of the older kind are added where there are any, and only those', async () => {
  await using host = await startHost();
  await host.inside(
    'iptables-legacy -t mangle -A PREROUTING -i eth0 -j MARK --set-mark 0x10/0xff; iptables-nft -A INPUT -m conntrack --ctstate NEW -j ACCEPT',
  );
  const before = await host.inside(STANDING);
  const { state } = await host.observe();
  expect(host.trips()).toBe(2);
  expect(await host.inside(STANDING)).toBe(before);
  expect(state.tables.map(({ family, name, origin }) => `${family} ${name} ${origin}`)).toEqual([
    'ip filter iptables-nft',
    'ip mangle iptables-legacy',
  ]);
  expect(shown(state.tables)[1]).toBe(
    'iptables-legacy - ip mangle PREROUTING: iifname "eth0" meta mark set meta mark & 0xffffff00 | 0x00000010',
  );
});

test('the sets that rules ask are there with what they hold', async () => {
  await using host = await startHost();
  await host.inside(
    'ipset create served hash:ip,port; ipset add served 192.0.2.1,tcp:80; ipset create unasked hash:ip; iptables-nft -A FORWARD -m set --match-set served dst,dst -j ACCEPT',
  );
  const { state } = await host.observe();
  expect(host.trips()).toBe(2);
  expect(shown(state.tables)[0]).toContain('ip daddr . meta l4proto . th dport @served accept');
  expect(state.tables[0]?.sets.map(({ name, elements }) => [name, elements.length])).toEqual([['served', 1]]);
});

test('without iptables-save the rules stay unknown, and the plan is told', async () => {
  await using host = await startHost();
  await host.inside(
    'iptables-nft -A FORWARD -m conntrack --ctstate NEW -j ACCEPT; ip6tables-legacy -A FORWARD -j DROP',
  );
  await host.hide('ip*tables*');
  const { state, notes } = await host.observe();
  expect(notes).toEqual([
    'rules of iptables cannot be read: there is no iptables-save for them',
    'legacy rules of ip6tables cannot be read: there is no ip6tables-save for them',
  ]);
  expect(shown(state.tables)[0]).toContain('{"xt":{"type":"match","name":"conntrack"}}');
  expect(state.tables.at(-1)).toMatchObject({
    family: 'ip6',
    opaque: [{ unlisted: 'there is no ip6tables-save for them' }],
  });
});

test('where iptables-save is the name of either kind, it is asked for its own alone', async () => {
  await using host = await startHost();
  await host.inside('iptables-nft -A FORWARD -m conntrack --ctstate NEW -j ACCEPT; iptables-legacy -A FORWARD -j DROP');
  await host.hide('ip*tables-*-save', 'ln -sf xtables-nft-multi /usr/sbin/iptables-save');
  const { state, notes } = await host.observe();
  expect(notes).toEqual(['legacy rules of iptables cannot be read: there is no iptables-save for them']);
  expect(shown(state.tables)[0]).toContain('ct state new accept');
});

test("a table where rules of nft stand among those of iptables stays nft's, and the plan is told", async () => {
  await using host = await startHost();
  await host.inside(
    'iptables-nft -A FORWARD -m conntrack --ctstate NEW -j ACCEPT; nft add rule ip filter FORWARD ct state new drop',
  );
  const { state, notes } = await host.observe();
  expect(notes).toEqual(["iptables-save cannot list table filter: rules of nft's own stand among those of iptables"]);
  expect(state.tables[0]?.origin).toBeUndefined();
  expect(shown(state.tables).at(-1)).toContain('ct state new drop');
});

test('a rule of nft that iptables-save shows as another one stays what it is, without that text', async () => {
  await using host = await startHost();
  await host.inside(
    'iptables-nft -A FORWARD -j ACCEPT; nft "add set ip filter s { type ipv4_addr; }"; nft add rule ip filter FORWARD ip saddr @s drop',
  );
  expect(await host.inside('iptables-nft-save')).toContain('-A FORWARD -j DROP');
  const { state } = await host.observe();
  expect(shown(state.tables)[1]).toContain('ip saddr @s drop');
  const rules = state.tables.flatMap(({ chains }) => chains).flatMap((chain) => chain.rules);
  expect(rules.map(({ text }) => text)).toEqual(['-A FORWARD -j ACCEPT', undefined]);
});
