import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join, normalize } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The rooms of src/ in design.md's order: a room imports rooms before it, never one after it, so no ring of rooms can form. */
// biome-ignore format: one order, read along the line
const rooms: readonly string[] = [
  'net', 'nftables', 'iptables', 'routing', 'wireguard', 'host', 'resources', 'compile', 'simulate', 'verify', 'plan', 'manifests', 'keep',
  'transport', 'apply', 'drivers', 'sources', 'kubernetes', 'lab', 'cli', 'web',
];
/** Up to and with this room all is pure: no `node:` imports outside tests. */
const lastPure = 'keep';
const longestFile = 400;
const emptyNames = new Set(['util', 'utils', 'helper', 'helpers', 'common', 'misc']);

/** Lines and columns from 1. */
export interface Breach {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly what: string;
}
export const printBreach = ({ file, line, column, what }: Breach): string => `${file}:${line}:${column}: ${what}`;

// A static import or export stands at a line's start (biome sees to it); `import(...)` may stand anywhere but in a comment.
const staticImport = /^(?:import|export)\b(?:[^'";`]*?\bfrom)?\s*(['"])(?<target>[^'"\n]+)\1/gm;
const dynamicImport = /^(?!\s*(?:\/\/|\*|\/\*)).*?\bimport\s*\(\s*(['"])(?<target>[^'"\n]+)\1/gm;

const isTest = (file: string): boolean => file.endsWith('.test.ts');

/** What is wrong with `target` imported by `file` (both told from the checkout's top, `/` between), or nothing. */
function importBreach(file: string, target: string): string | undefined {
  const [, room = '', folder] = file.split('/');
  const own = rooms.indexOf(room);
  if (isBuiltin(target)) {
    const pure = own <= rooms.indexOf(lastPure) && !isTest(file);
    return pure ? `${room} is pure: no "${target}" here, effects live in the rooms after ${lastPure}` : undefined;
  }
  if (!target.startsWith('.')) return undefined;
  if (!/\.(ts|json)$/.test(target)) return `"${target}" lacks its ending .ts`;
  const [top, otherRoom = '', ...inside] = normalize(join(file, '..', target)).split('/');
  if (top !== 'src') return `"${target}" leaves src/`;
  if (otherRoom === room) {
    const driver = inside.length > 1 && folder !== inside[0] && file.split('/').length > 3;
    return room === 'drivers' && driver ? `one driver knows nothing of another: drivers/${inside[0]}` : undefined;
  }
  const other = rooms.indexOf(otherRoom);
  if (other === -1) return `src/${otherRoom} is no room`;
  if (other > own && !(isTest(file) && otherRoom === 'lab'))
    return `${room} may not import ${otherRoom}, which comes after it`;
  return inside.join('/') === 'index.ts' ? undefined : `${otherRoom} is entered by its index.ts alone`;
}

/** All that breaks the walls in one file of src/, told from the checkout's top; tests may be long and may import the lab. */
export function checkFile(file: string, text: string): readonly Breach[] {
  const breaches: Breach[] = [];
  const [, room = '', ...inside] = file.split('/');
  if (inside.length === 0 || !rooms.includes(room)) {
    return [{ file, line: 1, column: 1, what: `belongs to no room (${rooms.join(', ')})` }];
  }
  const empty = inside.map((part) => part.replace(/\..*$/, '')).find((part) => emptyNames.has(part));
  if (empty !== undefined)
    breaches.push({ file, line: 1, column: 1, what: `"${empty}" says nothing: name it by its data` });
  const lines = text.split('\n').length - 1;
  if (lines > longestFile && !isTest(file)) {
    breaches.push({
      file,
      line: longestFile + 1,
      column: 1,
      what: `${lines} lines: no file is longer than ${longestFile}`,
    });
  }
  for (const match of [...text.matchAll(staticImport), ...text.matchAll(dynamicImport)]) {
    const target = match.groups?.target ?? '';
    const what = importBreach(file, target);
    if (what === undefined) continue;
    const before = text.slice(0, match.index + match[0].lastIndexOf(target)).split('\n');
    breaches.push({ file, line: before.length, column: before.at(-1)?.length ?? 0, what });
  }
  return breaches.sort((a, b) => a.line - b.line);
}

function main(): void {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
    .map((path) => `src/${path}`)
    .filter((path) => path.endsWith('.ts') && !path.includes('/testdata/'));
  const breaches = files.sort().flatMap((file) => checkFile(file, readFileSync(file, 'utf8')));
  for (const breach of breaches) process.stderr.write(`${printBreach(breach)}\n`);
  process.exitCode = breaches.length === 0 ? 0 : 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main();
