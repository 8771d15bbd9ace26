/** What mends a fault: commands as people type them, and how each is carried out and taken back by us. */
import type { Family } from '../../net/index.ts';
import type { Patient } from './patient.ts';

/** A command and its stdin. It runs in a folder of its own: what one leaves there, the one that takes it back finds. */
export interface FixCommand {
  readonly argv: readonly string[];
  readonly stdin?: string;
}

export interface FixStep {
  /** As one types it. */
  readonly text: string;
  /** Absent: for a person, as it is a choice, or is done on another machine. */
  readonly run?: FixCommand & {
    /** What takes it back. Absent: that goes with another step of it, or nothing is to be taken back; what was ended begins anew. */
    readonly undo?: FixCommand;
    /** A file that is read at the next start alone: written once all else has been confirmed. */
    readonly lasting?: true;
  };
}

export const byHand = (text: string): FixStep => ({ text });

/** `undo`: an argument vector too. */
export const command = (argv: readonly string[], undo?: readonly string[]): FixStep => ({
  text: printCommand(argv),
  run: { argv, ...(undo && { undo: { argv: undo } }) },
});

export const printCommand = (argv: readonly string[]): string => argv.map(quoted).join(' ');

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** Dots and slashes change places in the names that `sysctl` takes (sysctl.d(5)). */
export const dotted = (path: string): string => path.replaceAll(/[./]/g, (sign) => (sign === '/' ? '.' : '/'));

/** Sets a sysctl. What it is to be set back to, and all that changes with it, is known of the host. */
export function setSysctl({ facts }: Patient, path: string, value: string): FixStep {
  const { sysctls } = facts.state;
  const before = sysctls.get(path);
  const text = `sysctl -w ${dotted(path)}=${value}`;
  if (before === undefined) return { text };
  const others = [...sysctls].filter(([other]) => other !== path && changesWith(path, other));
  const back = [[path, before], ...others].flat();
  return { text, run: { argv: put(path, value), undo: { argv: put(...back) } } };
}

/** PATH VALUE…, below /proc/sys; what is gone went with its link. sysctl(8) ends with status 0 where the kernel says no. */
const PUT = `
while [ "$#" -gt 0 ]; do
  if [ -e "/proc/sys/$1" ]; then printf '%s\\n' "$2" >"/proc/sys/$1" || exit; fi
  shift 2
done`;
const put = (...words: readonly string[]): readonly string[] => ['sh', '-c', PUT, 'sh', ...words];

/** Forwarding of all sets every link's, and turns over what IPv4 does about redirects (devinet.c, inet_forward_change; addrconf.c). */
function changesWith(path: string, other: string): boolean {
  if (path === 'net/ipv4/ip_forward' || path === 'net/ipv4/conf/all/forwarding')
    return other === 'net/ipv4/ip_forward' || /^net\/ipv4\/conf\/[^/]+\/(forwarding|accept_redirects)$/.test(other);
  return path === 'net/ipv6/conf/all/forwarding' && /^net\/ipv6\/conf\/[^/]+\/forwarding$/.test(other);
}

export const addRoute = (family: Family, words: readonly string[]): FixStep =>
  command(['ip', `-${family}`, 'route', 'add', ...words], ['ip', `-${family}`, 'route', 'del', ...words]);

export const addRule = (family: Family, words: readonly string[]): FixStep =>
  command(['ip', `-${family}`, 'rule', 'add', ...words], ['ip', `-${family}`, 'rule', 'del', ...words]);

/** A table of its own, with its chains and rules as nft takes them: one name that is free on the host. */
export function addTable(
  { facts }: Patient,
  family: 'ip' | 'ip6' | 'inet',
  wanted: string,
  chains: readonly { readonly name: string; readonly header: string; readonly rules: readonly string[] }[],
): readonly FixStep[] {
  const used = new Set(facts.state.tables.filter((table) => table.family === family).map(({ name }) => name));
  const name = [wanted, ...[2, 3, 4, 5, 6, 7, 8, 9].map((number) => `${wanted}${number}`)].find(
    (each) => !used.has(each),
  );
  const at = [family, name ?? `${wanted}10`];
  return [
    command(['nft', 'create', 'table', ...at], ['nft', 'delete', 'table', ...at]),
    ...chains.flatMap((chain) => [
      command(['nft', `add chain ${at.join(' ')} ${chain.name} { ${chain.header}; }`]),
      ...chain.rules.map((rule) => command(['nft', 'add', 'rule', ...at, chain.name, ...rule.split(' ')])),
    ]),
  ];
}

/** FAMILY TABLE CHAIN COMMENT: deletes the rules that bear it. */
const DELETE_RULES = `
for h in $(nft -a list chain "$1" "$2" "$3" | sed -n "s/.* comment \\"$4\\" # handle \\([0-9]*\\)$/\\1/p"); do
  nft delete rule "$1" "$2" "$3" handle "$h" || exit
done`;

/** At the head of another's chain; by its comment it is found again. */
export const insertRule = (
  at: readonly [family: string, table: string, chain: string],
  rule: string,
  comment: string,
): FixStep =>
  command(
    ['nft', 'insert', 'rule', ...at, ...rule.split(' '), 'comment', `"${comment}"`],
    ['sh', '-c', DELETE_RULES, 'sh', ...at, comment],
  );

const WRITE = `
umask 022
d=\${1%/*}
[ -d "$d" ] || { mkdir -p "$d" && echo "$d" >made; } || exit
set -C
cat >"$1"`;
const WRITE_LAST = `
umask 022
mkdir -p "\${1%/*}" && set -C && cat >"$1"`;
const UNWRITE = 'rm -f "$1"; [ ! -e made ] || rmdir --ignore-fail-on-non-empty "$(cat made)"';

/** A new file; one that is there already is not written over. */
export const writeFile = (path: string, lines: readonly string[], lasting: boolean): FixStep => ({
  text: `printf '%s\\n' ${lines.map(quoted).join(' ')} >${path}`,
  run: {
    argv: ['sh', '-c', lasting ? WRITE_LAST : WRITE, 'sh', path],
    stdin: lines.map((line) => `${line}\n`).join(''),
    undo: { argv: ['sh', '-c', UNWRITE, 'sh', path] },
    ...(lasting && { lasting }),
  },
});
