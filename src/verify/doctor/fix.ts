/** What mends a fault: commands as people type them, and the changes of a plan by which we do it. */
import type { HostChange, RulePlace, TrackedConnection } from '../../host/index.ts';
import { printIptablesTable, readIptablesSave } from '../../iptables/index.ts';
import { type Address, type Endpoint, type Family, type Prefix, printAddress, wholeFamily } from '../../net/index.ts';
import { type BaseChain, printRule, type Rule, type Table } from '../../nftables/index.ts';
import type { Route, RoutingRule } from '../../routing/index.ts';
import { isPendingKey, type WireGuardPeer } from '../../wireguard/index.ts';
import type { Patient } from './patient.ts';

export interface FixStep {
  /** As one types it. */
  readonly text: string;
  /** Absent: for a person, as it is a choice, or is done on another machine. Empty: it is a part of the one before it. */
  readonly changes?: readonly HostChange[];
}

export const byHand = (text: string): FixStep => ({ text });

const step = (argv: readonly string[], ...changes: readonly HostChange[]): FixStep => ({
  text: printCommand(argv),
  changes,
});

/** For a person to paste into a shell. */
export const printCommand = (argv: readonly string[]): string => argv.map(quoted).join(' ');

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** Dots and slashes change places in the names that `sysctl` takes (sysctl.d(5)). */
export const dotted = (path: string): string => path.replaceAll(/[./]/g, (sign) => (sign === '/' ? '.' : '/'));

/** Sets a sysctl. What it is to be set back to is known of the host, or a person does it. */
export function setSysctl({ facts }: Patient, path: string, value: string): FixStep {
  const before = facts.state.sysctls.get(path);
  const text = `sysctl -w ${dotted(path)}=${value}`;
  if (before === undefined) return { text };
  const kind = 'sysctl';
  return {
    text,
    changes: [{ action: 'change', before: { kind, path, value: before }, after: { kind, path, value } }],
  };
}

/** rtnetlink.h, RTPROT_BOOT: what `ip` writes where nothing else is said. */
const BY_HAND = 3;

/** A default route, in a table of its own. */
export function addDefault(
  family: Family,
  { link, gateway, table }: { readonly link: string; readonly gateway: Address | undefined; readonly table: number },
): FixStep {
  const via = gateway === undefined ? [] : ['via', printAddress(gateway)];
  const argv = ['ip', `-${family}`, 'route', 'add', 'default', ...via, 'dev', link, 'table', String(table)];
  const route: Route = {
    ...{ table, destination: wholeFamily(family), type: 'unicast', link, protocol: BY_HAND },
    // What the kernel gives where none is said (rt6_info: IP6_RT_PRIO_USER).
    metric: family === 4 ? 0 : 1024,
    ...(gateway !== undefined && { gateway }),
  };
  return step(argv, { action: 'add', after: { kind: 'route', route } });
}

/** A rule that looks up a table, at the priority of its number. */
export function addLookup(
  family: Family,
  by: { readonly from: Prefix } | { readonly mark: number },
  table: number,
): FixStep {
  const selector = 'from' in by ? ['from', printAddress(by.from.address)] : ['fwmark', hex(by.mark)];
  const argv = ['ip', `-${family}`, 'rule', 'add', ...selector, 'lookup', String(table), 'priority', String(table)];
  const rule: RoutingRule = {
    ...{ family, priority: table, action: { kind: 'lookup', table }, protocol: BY_HAND },
    ...('from' in by ? by : { mark: { value: by.mark, mask: 0xffff_ffff } }),
  };
  return step(argv, { action: 'add', after: { kind: 'rule', rule } });
}

const hex = (value: number): string => `0x${value.toString(16)}`;

/** A table of its own, with its chains and rules as nft takes them: one name that is free on the host. */
export function addTable(
  { facts }: Patient,
  family: 'ip' | 'ip6' | 'inet',
  wanted: string,
  chains: readonly BaseChain[],
): readonly FixStep[] {
  const used = new Set(facts.state.tables.filter((table) => table.family === family).map(({ name }) => name));
  const free = [wanted, ...[2, 3, 4, 5, 6, 7, 8, 9].map((number) => `${wanted}${number}`)].find(
    (each) => !used.has(each),
  );
  const table = free ?? `${wanted}10`;
  const place = { family, table };
  const changes: readonly HostChange[] = [
    { action: 'add', after: { kind: 'nft', object: { kind: 'table', ...place } } },
    ...chains.map(
      (chain): HostChange => ({ action: 'add', after: { kind: 'nft', object: { kind: 'chain', ...place, chain } } }),
    ),
  ];
  return [
    step(['nft', 'create', 'table', family, table], ...changes),
    ...chains.flatMap(({ name, type, hook, priority, rules }) => [
      step(['nft', `add chain ${family} ${table} ${name} { type ${type} hook ${hook} priority ${priority}; }`]),
      ...rules.map((rule) => step(['nft', 'add', 'rule', family, table, name, ...printRule(rule).split(' ')])),
    ]),
  ];
}

/** At the head of another's chain that nft made; by its comment it is found again. */
export function insertRule(
  place: Extract<RulePlace, { readonly kind: 'nft' }>,
  rule: Rule & { readonly comment: string },
): FixStep {
  const { comment, ...bare } = rule;
  const at = [place.family, place.table, place.chain];
  const argv = ['nft', 'insert', 'rule', ...at, ...printRule(bare).split(' '), 'comment', `"${comment}"`];
  return step(argv, { action: 'add', after: { kind: 'foreignRule', place, rule } });
}

/** At the head of another's chain that iptables made. */
export function insertIptablesRule(
  family: Family,
  { table, chain }: { readonly table: string; readonly chain: string },
  words: readonly string[],
): FixStep {
  const text = `-A ${chain} ${words.join(' ')}`;
  const listing = `*${table}\n:${chain} - [0:0]\n${text}\nCOMMIT\n`;
  const [read] = readIptablesSave(listing, { family, origin: 'iptables-nft' }).tables;
  const [rule] = read?.chains[0]?.rules ?? [];
  const place: RulePlace = { kind: 'iptables', family, backend: 'nft', table, chain };
  const changes: readonly HostChange[] =
    rule === undefined ? [] : [{ action: 'add', after: { kind: 'foreignRule', place, rule } }];
  return step([family === 4 ? 'iptables' : 'ip6tables', '-I', chain, ...words], ...changes);
}

/** Nothing is left in a table of iptables' older kind; a person keeps a copy. */
export function emptyLegacyTable({ family, name, chains }: Table): readonly FixStep[] {
  const program = family === 'ip6' ? 'ip6tables-legacy' : 'iptables-legacy';
  const content = printIptablesTable({ name, chains });
  const bare = chains.flatMap((chain) => (chain.kind === 'base' ? [{ ...chain, rules: [] }] : []));
  const of = { kind: 'iptablesTable', family: family === 'ip6' ? 6 : 4, table: name } as const;
  const before = { ...of, content };
  const after = { ...of, content: printIptablesTable({ name, chains: bare }) };
  return [
    { text: `${program}-save -t ${name} >${program}-${name}`, changes: [{ action: 'change', before, after }] },
    step([program, '-t', name, '-F']),
    step([program, '-t', name, '-X']),
  ];
}

export function setMtu({ facts }: Patient, name: string, mtu: number): FixStep {
  const argv = ['ip', 'link', 'set', 'dev', name, 'mtu', String(mtu)];
  const link = facts.state.links.find((each) => each.name === name);
  if (link === undefined) return byHand(printCommand(argv));
  const after = { kind: 'link', link: { ...link, mtu } } as const;
  return step(argv, { action: 'change', before: { kind: 'link', link }, after });
}

/** `words` say what differs between the peer and what it is to be; `meaning`: where the name of its endpoint leads. */
export function setPeer(
  link: string,
  peer: WireGuardPeer,
  {
    words,
    meaning,
    ...wanted
  }: Partial<WireGuardPeer> & { readonly words: readonly string[]; readonly meaning?: Endpoint },
): FixStep {
  const key = isPendingKey(peer.publicKey) ? '' : peer.publicKey;
  const before = { kind: 'peer', link, peer } as const;
  const after = { kind: 'peer', link, peer: { ...peer, ...wanted }, ...(meaning && { meaning }) } as const;
  return step(['wg', 'set', link, 'peer', key, ...words], { action: 'change', before, after });
}

/** What was ended begins anew. */
export function endConnection(connection: TrackedConnection): FixStep {
  const { protocol, source, destination, sourcePort, destinationPort } = connection;
  const ends = ['-s', printAddress(source), '-d', printAddress(destination)];
  const ports = ['--sport', String(sourcePort), '--dport', String(destinationPort)];
  return step(['conntrack', '-D', '-p', protocol, ...ends, ...ports], {
    action: 'remove',
    before: { kind: 'connection', connection },
  });
}

export const restartUnit = (name: string): FixStep =>
  step(['systemctl', 'restart', name], { action: 'add', after: { kind: 'unit', name } });

/** A new file; one that is there already is not written over. */
export const writeFile = (path: string, lines: readonly string[]): FixStep => ({
  text: `printf '%s\\n' ${lines.map(quoted).join(' ')} >${path}`,
  changes: [
    {
      action: 'add',
      after: { kind: 'file', path, mode: 0o644, content: lines.map((line) => `${line}\n`).join('') },
    },
  ],
});
