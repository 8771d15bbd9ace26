/**
 * `make soak`: 1,000 connections held over 1,000 re-applies of their edge and node, 100,000 new ones meanwhile; status 1 where one was
 * lost or failed. Arguments: `--flows`, `--times`, `--connections`, and `--seed` for what the re-applies change.
 */
import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { measureReapply } from './reapply.ts';
import { printTable } from './report.ts';

const { values } = parseArgs({
  options: {
    flows: { type: 'string', default: '1000' },
    times: { type: 'string', default: '1000' },
    connections: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
  },
});
const { lines, notes } = await measureReapply({
  flows: Number(values.flows),
  times: Number(values.times),
  connections: Number(values.connections),
  seed: Number(values.seed),
});
const machine = `Linux ${release()}, ${cpus().length} cores, Node ${process.versions.node}`;
process.stdout.write(`${[machine, ...notes].join('\n')}\n\n${printTable(lines)}`);
if (lines.some(({ goal }) => goal?.met === false)) process.exitCode = 1;
