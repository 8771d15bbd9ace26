/** What iptables wrote: nft hides what such rules say, and of the older tables it knows nothing. */
import { type IptablesReading, readIpsets, readIptablesSave } from '../../iptables/index.ts';
import type { Table } from '../../nftables/index.ts';
import { script, type Transport } from '../../transport/index.ts';
import { ask, need } from './ask.ts';
import { LIST_IPTABLES, READ_IF_THERE } from './scripts.ts';

/** Asked with all else: the names of tables of the older kind, a list that is there only where one is (ip_tables.c). */
export const LEGACY_TABLES = {
  4: script(READ_IF_THERE, '/proc/net/ip_tables_names'),
  6: script(READ_IF_THERE, '/proc/net/ip6_tables_names'),
} as const;

const FAMILIES = [4, 6] as const;
const BACKENDS = ['nft', 'legacy'] as const;
type Listing = `${4 | 6} ${(typeof BACKENDS)[number]}`;

const saveCommand = (listing: Listing): readonly string[] => script(LIST_IPTABLES, ...listing.split(' '));

/** All that withIptables may ask. */
export const IPTABLES_COMMANDS: readonly (readonly string[])[] = FAMILIES.flatMap((family) =>
  BACKENDS.map((backend) => saveCommand(`${family} ${backend}`)),
);

export interface SeenTables {
  readonly tables: readonly Table[];
  /** What could not be read, and why: a sentence each. */
  readonly notes: readonly string[];
}

/**
 * Replaces tables that iptables wrote by what iptables-save says of them, and adds those of the older kind. One more round trip where
 * there are any, none where there are not. Nothing that is asked loads a module or makes a table: without `-t` both savers list what
 * is there. `legacy` are the answers to LEGACY_TABLES.
 */
export async function withIptables(
  transport: Transport,
  tables: readonly Table[],
  legacy: Readonly<Record<4 | 6, string>>,
  signal: AbortSignal,
): Promise<SeenTables> {
  const wanted = FAMILIES.flatMap((family) => [
    ...(tables.some((table) => isOfIptables(table, family)) ? [`${family} nft` as const] : []),
    ...(legacy[family].trim() === '' ? [] : [`${family} legacy` as const]),
  ]);
  if (wanted.length === 0) return { tables, notes: [] };
  const commands = wanted.map(saveCommand);
  const answers = await ask(transport, commands, signal);
  const listings = takeApart(commands.map((command) => need(answers, command).stdout).join(''));
  return mergeTables(tables, wanted, listings);
}

/** Tables and built-in chains bear these names where iptables made them (nft_chain_builtin_init). */
const TABLES: ReadonlySet<string> = new Set(['raw', 'mangle', 'nat', 'filter', 'security']);
const CHAINS: ReadonlySet<string> = new Set(['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']);
const isOfIptables = ({ family, name, chains }: Table, of: 4 | 6): boolean =>
  family === (of === 4 ? 'ip' : 'ip6') &&
  TABLES.has(name) &&
  (chains.some((chain) => chain.kind === 'base' && CHAINS.has(chain.name)) || chains.some(hasHidden));

const hasHidden = ({ rules }: Table['chains'][number]): boolean =>
  rules.some(({ statements }) =>
    statements.some(({ kind, ...of }) => kind === 'opaque' && JSON.stringify(of).startsWith('{"json":{"xt":')),
  );

/** One part of what LIST_IPTABLES printed; status 127 where the host has no such program. */
interface Part {
  readonly status: number;
  readonly text: string;
}

/** `= 4 nft 0` before each part: no line of iptables-save or ipset begins so. */
function takeApart(text: string): ReadonlyMap<string, Part> {
  const parts = new Map<string, Part>();
  for (const part of text.split(/^= /m).slice(1)) {
    const end = part.indexOf('\n');
    const [, name = '', status = ''] = /^(.*) (\d+)$/.exec(part.slice(0, end)) ?? [];
    parts.set(name, { status: Number(status), text: part.slice(end + 1) });
  }
  return parts;
}

function mergeTables(
  tables: readonly Table[],
  wanted: readonly Listing[],
  listings: ReadonlyMap<string, Part>,
): SeenTables {
  const sets = readIpsets(listings.get('ipset')?.text ?? '');
  const notes: string[] = [];
  let merged = tables;
  for (const listing of wanted) {
    const part = listings.get(listing) ?? { status: 127, text: '' };
    const family = listing.startsWith('4') ? 4 : 6;
    const isLegacy = listing.endsWith('legacy');
    const word = family === 4 ? 'iptables' : 'ip6tables';
    if (part.status !== 0) {
      const why =
        part.status === 127 ? `there is no ${word}-save for them` : `${word}-save ended with status ${part.status}`;
      if (isLegacy || merged.some((table) => isOfIptables(table, family) && table.chains.some(hasHidden)))
        notes.push(`${isLegacy ? 'legacy ' : ''}rules of ${word} cannot be read: ${why}`);
      // What stands there decides about packets, and nobody knows how.
      if (isLegacy) merged = [...merged, unlisted(family, why)];
      continue;
    }
    const reading = readIptablesSave(part.text, {
      ...{ family, origin: isLegacy ? 'iptables-legacy' : 'iptables-nft', sets },
      ...(!isLegacy && { beside: tables }),
    });
    notes.push(...notesOn(reading, `${word}-save`));
    merged = isLegacy ? [...merged, ...reading.tables] : replaced(merged, reading);
  }
  return { tables: merged, notes };
}

const unlisted = (family: 4 | 6, why: string): Table => ({
  ...{ family: family === 4 ? 'ip' : 'ip6', name: 'legacy', sets: [], maps: [], chains: [] },
  opaque: [{ unlisted: why }],
  origin: 'iptables-legacy',
});

const notesOn = ({ problems, incompatible }: IptablesReading, command: string): readonly string[] => [
  ...problems.slice(0, 3).map(({ line, what }) => `${command}, line ${line}: ${what}`),
  ...incompatible.map(
    (name) => `${command} cannot list table ${name}: rules of nft's own stand among those of iptables`,
  ),
];

/** Which chains there are and where, nft says of what the kernel has; what their rules say, iptables-save. */
const replaced = (tables: readonly Table[], { tables: read }: IptablesReading): readonly Table[] =>
  tables.map((table) => {
    const own = read.find(({ family, name }) => family === table.family && name === table.name);
    if (own === undefined || own.origin === undefined) return table;
    const rules = new Map(own.chains.map((chain) => [chain.name, chain.rules]));
    const chains = table.chains.map((chain) => ({ ...chain, rules: rules.get(chain.name) ?? chain.rules }));
    const listed = new Set(chains.map(({ name }) => name));
    const others = own.chains.filter(({ kind, name }) => kind === 'regular' && !listed.has(name));
    return { ...table, sets: [...table.sets, ...own.sets], chains: [...chains, ...others], origin: own.origin };
  });
