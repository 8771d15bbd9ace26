/** What ssh is given for the far side, and what comes back from there. */
import type { ProcessOutput } from './process.ts';

/**
 * One line for whatever login shell stands there: ssh joins its arguments and has that shell read them. So that none finds anything to
 * read, all but plain characters are octal, for `printf %b` of a POSIX sh. Around the command are marks: shells that say something at each
 * login are told apart from it, and a connection that was lost from a command that failed (both end ssh with 255).
 * What runs the command, env or sudo, speaks English too.
 */
export function remoteLine(argv: readonly string[]): string {
  const quoted = argv.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const begin = `printf '${BEGIN} %s\\n' "$$"`;
  const text = `LC_ALL=C; export LC_ALL; ${begin}; ${begin} >&2; ${quoted}; s=$?; printf '\\n${END} %s\\n' "$s" >&2; exit "$s"`;
  return `exec sh -c 'eval "$(printf %b "$0")"' '${encode(text)}'`;
}

const BEGIN = 'sallyport-begin';
const END = 'sallyport-end';

function encode(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text)) {
    const character = String.fromCharCode(byte);
    encoded += /[\w./,:=@+ -]/.test(character) ? character : `\\0${byte.toString(8).padStart(3, '0')}`;
  }
  return encoded;
}

/** The command's own output, or what ssh said where it did not come to its end. */
export function readSshOutput({ stdout, stderr, status }: ProcessOutput): ProcessOutput | string {
  const told = stderr.toString('utf8');
  const end = new RegExp(`\\n${END} (\\d+)\\n`).exec(told);
  if (end === null) return `the connection was lost before the command had ended${reasonIn(withoutBegin(told))}`;
  return {
    stdout: afterBegin(stdout),
    stderr: Buffer.from(withoutBegin(told.slice(0, end.index))),
    status: Number(end[1] ?? status),
  };
}

/** Of lines one by one: tells the command's own from what the shell said before. */
export function ownLines(): (line: string) => boolean {
  let begun = false;
  return (line) => {
    if (begun) return true;
    begun = line.startsWith(`${BEGIN} `);
    return false;
  };
}

/** The process group of the command, where it has begun. */
export function groupIn(stderr: Buffer): number | undefined {
  const group = new RegExp(`(?:^|\\n)${BEGIN} (\\d+)\\n`).exec(stderr.toString('latin1'))?.[1];
  return group === undefined ? undefined : Number(group);
}

function afterBegin(stdout: Buffer): Buffer {
  const at = stdout.indexOf(`${BEGIN} `);
  return at === -1 ? stdout : stdout.subarray(stdout.indexOf('\n', at) + 1);
}

function withoutBegin(text: string): string {
  const at = text.indexOf(`${BEGIN} `);
  return at === -1 ? text : text.slice(text.indexOf('\n', at) + 1);
}

const reasonIn = (text: string): string => {
  const said = text.trim();
  return said === '' ? '' : `: ${sshReason(said)}`;
};

/** What the client says, in one line, and what to do about it. */
export function sshReason(stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('@@@') && !line.startsWith('Warning: Permanently added'));
  const last = lines.at(-1) ?? 'ssh said nothing';
  if (/IDENTIFICATION HAS CHANGED/.test(stderr))
    return 'its host key is another than the one that is known: somebody may be in between, or it was installed anew; look at its console, then at access.ssh.hostKey or known_hosts';
  if (/Host key verification failed/.test(last))
    return 'its host key is not known: sallyport host adopt shows it and writes it into access.ssh.hostKey; or log in once by ssh and compare the fingerprint';
  if (/Permission denied/.test(last))
    return `${last} No key of the agent, the configuration or access.ssh.identityFile is let in`;
  return last;
}
