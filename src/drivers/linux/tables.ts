import {
  CHAINS_COMMAND,
  lackDevices,
  readRuleset,
  type Table,
  type TableFamily,
  withDevices,
} from '../../nftables/index.ts';
import type { Output, Transport } from '../../transport/index.ts';
import { ask, failure, need } from './ask.ts';
import { listCommand, readListing } from './generation.ts';
import type { Readings } from './readings.ts';

const RULESET_COMMAND: readonly string[] = ['nft', '-j', 'list', 'ruleset'];
export const TABLES_COMMAND: readonly string[] = ['nft', '-j', 'list', 'tables'];

/** Shell text in which `more COMMAND...` collects a command: tables one by one, as readTables asks where nft cannot list all of all at once. */
export const COLLECT_TABLES = `
if { ! nft -j list ruleset >/dev/null 2>"$d/left" || grep -q '^netlink: Error: ' "$d/left"; } && nft list tables >"$d/tables" 2>/dev/null; then
  while read -r _ family table; do more nft -j list table "$family" "$table"; done <"$d/tables"
fi`;

/**
 * The tables in `ruleset`, the answer to listCommand. `links` is the text of the links: rules name interfaces as they are called now,
 * whatever generation they are of. Where nft cannot list one of the tables it lists none: then each is asked for by itself, and one
 * that cannot be listed is opaque. Throws a TransportError where not even the names come.
 */
export async function readTables(
  transport: Transport,
  ruleset: Output,
  links: string,
  readings: Readings,
  signal: AbortSignal,
): Promise<readonly Table[]> {
  const tables = await listTables(transport, ruleset, links, readings, signal);
  if (!lackDevices(tables)) return tables;
  const { status, stdout } = (await ask(transport, [CHAINS_COMMAND], signal))(CHAINS_COMMAND);
  return status === 0 ? withDevices(tables, stdout) : tables;
}

async function listTables(
  transport: Transport,
  ruleset: Output,
  links: string,
  readings: Readings,
  signal: AbortSignal,
): Promise<readonly Table[]> {
  if (ruleset.status === 127) throw failure(transport.host, RULESET_COMMAND, ruleset);
  if (ruleset.status === 0) {
    const listing = readListing(ruleset.stdout);
    if (listing === undefined) {
      const standing = readings.standing();
      if (standing?.links === links) return standing.tables;
      const command = listCommand(transport.namespace);
      return listTables(transport, (await ask(transport, [command], signal))(command), links, readings, signal);
    }
    try {
      if (leavesOut(ruleset) === undefined) return readings.ruleset(listing, links);
    } catch (error) {
      if (!(error instanceof Error)) throw error; // one table that we cannot read: the same way
    }
  }
  const names = readRuleset(need(await ask(transport, [TABLES_COMMAND], signal), TABLES_COMMAND).stdout);
  const commands = names.map(({ family, name }) => ['nft', '-j', 'list', 'table', family, name]);
  const answers = await ask(transport, commands, signal);
  return names.flatMap(({ family, name }, index) => {
    const output = answers(commands[index] ?? []);
    const lost = output.status === 0 ? leavesOut(output) : output.stderr.trim();
    return lost === undefined ? readOne(output.stdout, family, name) : [opaque(family, name, lost)];
  });
}

/**
 * nft 1.0 leaves a statement that it does not understand out of the rule, says so on stderr alone, and calls that a success: `ct label
 * { 5, 6 } drop` is listed as `drop`. Undefined where it says nothing of the kind.
 */
const leavesOut = ({ stderr }: Output): string | undefined =>
  stderr.split('\n').find((line) => line.startsWith('netlink: Error: '));

function readOne(text: string, family: TableFamily, name: string): readonly Table[] {
  try {
    return readRuleset(text);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return [opaque(family, name, error.message)];
  }
}

const opaque = (family: TableFamily, name: string, reason: string): Table => ({
  ...{ family, name, sets: [], maps: [], chains: [] },
  opaque: [{ unlisted: reason }],
});
