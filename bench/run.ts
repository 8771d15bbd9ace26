/**
 * `make bench`: measures what docs/benchmarks.md tells, each beside what it is to be held against, in one run on one machine.
 * The table goes to stdout and, with every number, to dist/bench.json. Arguments: names of parts (startup validate forwards
 * trace verify readers many story moving run ssh wireguard reapply planes; all unless given), `--quick` for a few small rounds, `--seed` for the order of turns. Status 1 where a goal was missed.
 */
import { chownSync, statSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { measureForwards } from './forwards.ts';
import { measureIdle } from './idle.ts';
import { measureKeeping } from './keeping.ts';
import type { Line, Part } from './measure.ts';
import { measureMoving } from './moving.ts';
import { measurePlanes } from './planes.ts';
import { measureReaders } from './readers.ts';
import { measureReapply } from './reapply.ts';
import { printGrid, printTable } from './report.ts';
import { measureSsh } from './ssh.ts';
import { measureStartup } from './startup.ts';
import { measureStory } from './story.ts';
import { measureLive, measureTrace } from './trace.ts';
import { measureValidate } from './validate.ts';
import { measureVerify } from './verify.ts';
import { measureWireguard } from './wireguard.ts';

const sallyport = fileURLToPath(new URL('../bin/sallyport', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, seed: { type: 'string' } },
});
const quick = values.quick === true;
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));

const alone = async (lines: Promise<readonly Line[]>): Promise<Part> => ({ lines: await lines, grids: [], notes: [] });
const parts: Readonly<Record<string, () => Promise<Part>>> = {
  startup: () => alone(measureStartup(sallyport, quick ? 3 : 15)),
  validate: () => alone(measureValidate(sallyport, 10_000, quick ? 1 : 5)),
  trace: async () => ({
    lines: [...measureTrace(10_000, quick ? 3 : 21), ...(await measureLive(sallyport, quick ? 3 : 9))],
    grids: [],
    notes: [],
  }),
  verify: async () => ({ lines: measureVerify(quick ? 1 : 9), grids: [], notes: [] }),
  readers: () => alone(measureReaders(50_000, quick ? 3 : 9)),
  forwards: () => alone(measureForwards(sallyport, 10_000, quick ? 1 : 5)),
  many: () => alone(measureForwards(sallyport, 50_000, quick ? 1 : 3)),
  story: () => alone(measureStory(sallyport, 10_000, quick ? 1 : 3)),
  moving: () => alone(measureMoving(sallyport, 10_000, quick ? 1 : 3)),
  run: async () => ({
    lines: [
      ...(await measureKeeping(sallyport, quick ? 5 : 100)),
      ...(await measureIdle(sallyport, quick ? { hosts: 10, forwards: 1_000 } : { hosts: 100, forwards: 10_000 })),
    ],
    grids: [],
    notes: [],
  }),
  ssh: () => alone(measureSsh(sallyport, quick ? 2 : 9)),
  wireguard: () => alone(measureWireguard(sallyport, quick ? 2 : 15)),
  reapply: () =>
    measureReapply({
      seed,
      ...(quick ? { flows: 50, times: 20, connections: 0 } : { flows: 200, times: 200, connections: 10_000 }),
    }),
  planes: () =>
    measurePlanes({
      ...{ sallyport, seed },
      ...(quick
        ? { rounds: 1, ms: 150, sizes: [1, 1_000] }
        : { rounds: 5, ms: 700, sizes: [1, 1_000, 10_000, 50_000] }),
    }),
};

const chosen = positionals.length === 0 ? Object.keys(parts) : positionals;
const measured: Part[] = [];
for (const name of chosen) {
  const part = parts[name];
  if (part === undefined) throw new Error(`no part "${name}": there are ${Object.keys(parts).join(', ')}`);
  process.stderr.write(`measuring: ${name}\n`);
  measured.push(await part());
}
const machine = `Linux ${release()}, ${cpus().length} cores, Node ${process.versions.node}`;
const lines = measured.flatMap((part) => part.lines);
const grids = measured.flatMap((part) => part.grids);
const notes = [machine, ...measured.flatMap((part) => part.notes)];
process.stdout.write([`${notes.join('\n')}\n`, printTable(lines), ...grids.map(printGrid)].join('\n'));
const kept = fileURLToPath(new URL('../dist/bench.json', import.meta.url));
writeFileSync(kept, `${JSON.stringify({ notes, lines, grids }, undefined, 2)}\n`);
const { uid, gid } = statSync(new URL('..', import.meta.url));
if (process.getuid?.() === 0) chownSync(kept, uid, gid); // by sudo in another's checkout: it stays theirs
if (lines.some(({ goal }) => goal?.met === false)) process.exitCode = 1;
