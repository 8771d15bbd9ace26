/** Writes docs/reference.md from the schema and the guide's table of clouds; with `--check` it only tells whether they are current. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { printCloudTable } from '../src/manifests/index.ts';
import { printReference } from '../src/resources/index.ts';

const docs = (name: string): string => fileURLToPath(new URL(`../docs/${name}`, import.meta.url));
const guide = 'guide-wireguard-behind-a-load-balancer.md';

for (const [name, wanted] of [
  ['reference.md', printReference()],
  [guide, withTable(readOrNothing(guide) ?? '')],
] as const) {
  if (!process.argv.includes('--check')) writeFileSync(docs(name), wanted);
  else if (readOrNothing(name) !== wanted) {
    process.stderr.write(`docs/${name} is not what its source says; run: node scripts/reference.ts\n`);
    process.exitCode = 1;
  }
}

/** Between its two marks. */
function withTable(text: string): string {
  const [begin, end] = ['<!-- clouds: made by scripts/reference.ts -->\n', '<!-- /clouds -->'];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/${guide} has no marks for the table of clouds`);
  return `${text.slice(0, from + begin.length)}${printCloudTable()}${text.slice(to)}`;
}

/** A file that is not there is as wrong as an old one. */
function readOrNothing(name: string): string | undefined {
  try {
    return readFileSync(docs(name), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
