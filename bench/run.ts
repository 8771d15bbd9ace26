/**
 * `make bench`: measures what docs/benchmarks.md tells, each beside what it is to be held against, in one run on one machine.
 * The table goes to stdout and, with every number, to dist/bench.json. Arguments: names of parts (startup validate forwards
 * story reapply; all unless given), `--quick` for a few small rounds. Status 1 where a goal was missed.
 */
import { chownSync, statSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { measureForwards } from './forwards.ts';
import type { Line } from './measure.ts';
import { measureReapply } from './reapply.ts';
import { printTable } from './report.ts';
import { measureStartup } from './startup.ts';
import { measureStory } from './story.ts';
import { measureValidate } from './validate.ts';

const sallyport = fileURLToPath(new URL('../bin/sallyport', import.meta.url));
const { values, positionals } = parseArgs({ allowPositionals: true, options: { quick: { type: 'boolean' } } });
const quick = values.quick === true;

const parts: Readonly<Record<string, () => Promise<readonly Line[]>>> = {
  startup: () => measureStartup(sallyport, quick ? 3 : 15),
  validate: () => measureValidate(sallyport, 10_000, quick ? 1 : 5),
  forwards: () => measureForwards(sallyport, 10_000, quick ? 1 : 5),
  story: () => measureStory(sallyport, 10_000, quick ? 1 : 3),
  reapply: () => (quick ? measureReapply(50, 20) : measureReapply(200, 200)),
};

const chosen = positionals.length === 0 ? Object.keys(parts) : positionals;
const lines: Line[] = [];
for (const name of chosen) {
  const part = parts[name];
  if (part === undefined) throw new Error(`no part "${name}": there are ${Object.keys(parts).join(', ')}`);
  process.stderr.write(`measuring: ${name}\n`);
  lines.push(...(await part()));
}
const machine = `Linux ${release()}, ${cpus().length} cores, Node ${process.versions.node}`;
process.stdout.write(`${machine}\n\n${printTable(lines)}`);
const kept = fileURLToPath(new URL('../dist/bench.json', import.meta.url));
writeFileSync(kept, `${JSON.stringify({ machine, lines }, undefined, 2)}\n`);
const { uid, gid } = statSync(new URL('..', import.meta.url));
if (process.getuid?.() === 0) chownSync(kept, uid, gid); // by sudo in another's checkout: it stays theirs
if (lines.some(({ goal }) => goal?.met === false)) process.exitCode = 1;
