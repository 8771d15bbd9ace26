/** The container image without a builder: its recipe read, and the same root file system out of this machine's packages. */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CHECKOUT = fileURLToPath(new URL('../../..', import.meta.url));
export const inCheckout = (path: string): string => join(CHECKOUT, path);

export interface Instruction {
  readonly word: string;
  readonly line: number;
  /** Options that begin with `--`. */
  readonly options: readonly string[];
  readonly words: readonly string[];
}

/** The instructions of image/Dockerfile, continued lines joined, comments left out (docs.docker.com/reference/dockerfile). */
export function readRecipe(): readonly Instruction[] {
  const lines = readFileSync(inCheckout('image/Dockerfile'), 'utf8').split('\n');
  const instructions: Instruction[] = [];
  let pending = '';
  for (const [index, line] of lines.entries()) {
    if (line.trimStart().startsWith('#') || (line.trim() === '' && pending === '')) continue;
    pending += line.replace(/\\$/, ' ');
    if (line.endsWith('\\')) continue;
    const [word = '', ...rest] = pending.trim().split(/\s+/);
    const options = rest.filter((each) => each.startsWith('--') && word === 'COPY');
    instructions.push({ word, line: index + 1, options, words: rest.filter((each) => !options.includes(each)) });
    pending = '';
  }
  return instructions;
}

/** The Debian packages that the image installs. */
export const packagesOf = (recipe: readonly Instruction[]): readonly string[] =>
  recipe.flatMap(({ word, words }) => {
    const text = words.join(' ');
    const list = /apt-get install ([^&]+)/.exec(text)?.[1];
    return word === 'RUN' && list !== undefined ? list.trim().split(' ').filter((each) => !each.startsWith('--')) : [];
  });

/** `folder` becomes what the image's root is: the packages with what they need, Debian's essential ones, Node, and what is copied and linked. */
export function layRoot(folder: string, recipe: readonly Instruction[]): void {
  for (const each of ['bin', 'sbin', 'lib', 'lib64']) {
    mkdirSync(join(folder, 'usr', each), { recursive: true });
    symlinkSync(`usr/${each}`, join(folder, each));
  }
  for (const each of ['proc', 'dev', 'run', 'etc/wireguard', 'tmp', 'opt/sallyport/dist', 'usr/local/bin'])
    mkdirSync(join(folder, each), { recursive: true });
  // Made by base-files when it is installed.
  mkdirSync(join(folder, 'var'));
  symlinkSync('/run', join(folder, 'var/run'));
  const listed = execFileSync('dpkg-query', ['-L', ...closure(packagesOf(recipe))], { encoding: 'utf8' });
  const files = listed
    .split('\n')
    .filter((path) => path.startsWith('/') && !/^\/usr\/share\/(doc|man|locale|info|lintian|bash-completion)\//.test(path))
    .filter((path) => existsSync(path) && !lstatSync(path).isDirectory());
  const archive = execFileSync('tar', ['-C', '/', '-cf', '-', '--no-recursion', '-T', '-'], {
    input: [...new Set(files)].map((path) => path.slice(1)).join('\n'),
    maxBuffer: 2 ** 30,
  });
  execFileSync('tar', ['-C', folder, '--keep-directory-symlink', '-xf', '-'], { input: archive });
  copyFileSync(process.execPath, join(folder, 'usr/local/bin/node'));
  chmodSync(join(folder, 'usr/local/bin/node'), 0o755);
  for (const { word, options, words } of recipe) {
    const target = words.at(-1) ?? '';
    if (word !== 'COPY' || !target.startsWith('/opt/')) continue;
    for (const source of words.slice(0, -1)) {
      // COPY takes what is in a folder, not the folder (docs.docker.com/reference/dockerfile/#copy).
      const from = options.length > 0 ? source.replace(/^\/build\//, '') : source;
      const isFolder = lstatSync(inCheckout(from)).isDirectory();
      cpSync(inCheckout(from), isFolder ? join(folder, target) : join(folder, target, from.replace(/^.*\//, '')), { recursive: true });
    }
  }
  for (const { word, words } of recipe) {
    const [program, flag, to = '', at = ''] = words;
    if (word === 'RUN' && program === 'ln' && flag === '-s') symlinkSync(to, join(folder, at));
  }
}

/** The packages, Debian's essential ones, and all that these need, as this machine has them installed. */
function closure(names: readonly string[]): readonly string[] {
  const format = '${Package}\t${Essential}\t${Pre-Depends}, ${Depends}\t${Provides}\n';
  const rows = execFileSync('dpkg-query', ['-W', '-f', format], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.split('\t'));
  const bare = (text: string): string => text.trim().replace(/[ :(].*$/, '');
  const needs = new Map(rows.map(([name = '', , depends = '']) => [name, depends.split(',')]));
  const provider = new Map(rows.flatMap(([name = '', , , provides = '']) => provides.split(',').map((each) => [bare(each), name])));
  const found = new Set<string>();
  const waiting = [...names, ...rows.flatMap(([name = '', essential]) => (essential === 'yes' ? [name] : []))];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (found.has(name)) continue;
    found.add(name);
    for (const group of needs.get(name) ?? []) {
      const choices = group.split('|').map(bare).filter(Boolean);
      const chosen = choices.map((each) => (needs.has(each) ? each : provider.get(each))).find((each) => each !== undefined);
      if (chosen !== undefined) waiting.push(chosen);
    }
  }
  return [...found];
}
