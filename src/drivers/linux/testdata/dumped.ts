/** A host as a folder of the corpus says it stood: each file is what one command printed (corpus/README.md). */
import { readFileSync } from 'node:fs';
import { EMPTY_STATE, type HostState } from '../../../host/index.ts';
import { readRuleset } from '../../../nftables/index.ts';
import { readAddresses, readLinks, readRoutes, readRules, readSysctls } from '../../../routing/index.ts';
import type { Output, Transport } from '../../../transport/index.ts';
import { withIptables } from '../iptables.ts';

/** The text of a file below this folder; nothing where the command printed nothing. */
function dumpText(path: string): string {
  try {
    return readFileSync(new URL(path, import.meta.url), 'utf8');
  } catch {
    return '';
  }
}

/** The files of one listing of rules. */
export interface RuleFiles {
  readonly nft: string;
  readonly iptables: Readonly<Record<`${4 | 6} ${'nft' | 'legacy'}`, string>>;
  readonly ipset: string;
}

const ruleFiles = (product: string): RuleFiles => ({
  nft: `corpus/${product}/nft.json`,
  iptables: {
    '4 nft': `corpus/${product}/iptables-save`,
    '6 nft': `corpus/${product}/ip6tables-save`,
    '4 legacy': `corpus/${product}/iptables-legacy-save`,
    '6 legacy': `corpus/${product}/ip6tables-legacy-save`,
  },
  ipset: `corpus/${product}/ipset-save`,
});

/** The host of a product, read as `observe` reads it; by other rules where `files` names them. */
export async function dumpedHost(
  product: string,
  files: RuleFiles = ruleFiles(product),
): Promise<{ readonly state: HostState; readonly notes: readonly string[] }> {
  const text = (file: string): string => dumpText(`corpus/${product}/${file}`);
  const tables = readRuleset(dumpText(files.nft));
  const legacy = { 4: dumpText(files.iptables['4 legacy']), 6: dumpText(files.iptables['6 legacy']) };
  const seen = await withIptables(answering(files), tables, legacy, AbortSignal.timeout(10_000));
  const state: HostState = {
    ...EMPTY_STATE,
    links: readLinks(text('link.json')),
    addresses: readAddresses(text('address.json')),
    routes: ([4, 6] as const).flatMap((family) => readRoutes(text(`route${family}.json`), family)),
    rules: ([4, 6] as const).flatMap((family) => readRules(text(`rule${family}.json`), family)),
    sysctls: readSysctls(text('sysctls')),
    tables: seen.tables,
  };
  return { state, notes: seen.notes };
}

/** Whoever asks for the listings of iptables gets these files, as LIST_IPTABLES prints them. */
function answering({ iptables, ipset }: RuleFiles): Transport {
  const parts = Object.entries(iptables).map(([listing, file]) => `= ${listing} 0\n${dumpText(file)}`);
  const stdout = [...parts, `= ipset 0\n${dumpText(ipset)}`].join('\n');
  const output: Output = { status: 0, stdout, stderr: '' };
  const never = (): never => {
    throw new TypeError('nothing else is asked');
  };
  return {
    host: 'box',
    runAll: (commands) => Promise.resolve(commands.map(() => output)),
    ...{ run: never, follow: never, readFile: never, writeFile: never, removeFile: never, stateFolder: never },
  };
}
