/** Writes docs/reference.md from the schema; with `--check` it only tells whether the file is current. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { printReference } from '../src/resources/index.ts';

const path = fileURLToPath(new URL('../docs/reference.md', import.meta.url));
const wanted = printReference();

if (process.argv.includes('--check')) {
  if (readOrNothing() !== wanted) {
    process.stderr.write('docs/reference.md is not what the schema says; run: node scripts/reference.ts\n');
    process.exitCode = 1;
  }
} else writeFileSync(path, wanted);

/** A file that is not there is as wrong as an old one. */
function readOrNothing(): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
