/** What `host adopt` does for access.agent: the gate on the host, a key of its own for it, and the line that binds them. */
import { execFile } from 'node:child_process';
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import type { Access } from '../../resources/index.ts';
import { missingProgram, script, sshTransport, type Transport, TransportError } from '../../transport/index.ts';
import { CommandFailure } from '../exit.ts';
import { gatedOptions, readSshUrl } from '../hosts.ts';
import { GATE_PATH } from './shell.ts';
import { gate } from './text.ts';

type Agent = Access & { readonly kind: 'agent' };
type Login = Access & { readonly kind: 'ssh' };

export interface AdoptedGate {
  readonly path: string;
  /** Whether this very gate stood there. */
  readonly stood: boolean;
  readonly identityFile: string;
  readonly madeKey: boolean;
  readonly authorizedKeys: string;
  readonly line: string;
}

/** The full login by which the gate is put: `through`, or the same address as the OpenSSH client knows it. Throws UsageError. */
export function loginOf({ address, port }: Agent, through: string | undefined): Login {
  const url = through === undefined ? { address, port } : readSshUrl('--through', through);
  return { kind: 'ssh', port, ...url };
}

/** Puts gate, key and line, each where it is not there yet; then knocks. Throws a CommandFailure, or a TransportError. */
export async function adoptGate(
  { name, access, file }: { readonly name: string; readonly access: Agent; readonly file: string },
  { kind: _, ...login }: Login,
  signal: AbortSignal,
): Promise<AdoptedGate> {
  const options = gatedOptions(access, file);
  const { identityFile } = options;
  const madeKey = await makeKey(identityFile, `sallyport-agent-${name}`);
  const publicKey = (await keygen(['-y', '-P', '', '-f', identityFile])).trim();
  const transport = sshTransport(name, login);
  const { text } = gate();
  const stood = (await transport.readFile(GATE_PATH, signal)) === text;
  if (!stood) await transport.writeFile(GATE_PATH, text, 0o755, { signal });
  const [type = '', key = ''] = publicKey.split(' ');
  const line = `restrict,command="exec ${GATE_PATH}" ${type} ${key} sallyport-agent`;
  const authorizedKeys = await putLine(transport, access.user, line, key, signal);
  await knock(sshTransport(name, options), authorizedKeys, signal);
  return { path: GATE_PATH, stood, identityFile, madeKey, authorizedKeys, line };
}

const run = promisify(execFile);

async function keygen(argv: readonly string[]): Promise<string> {
  try {
    return (await run('ssh-keygen', argv)).stdout;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const isMissing = 'code' in error && error.code === 'ENOENT';
    const said = 'stderr' in error && typeof error.stderr === 'string' ? error.stderr.trim() : error.message;
    throw new CommandFailure(isMissing ? missingProgram('ssh') : `ssh-keygen: ${said}`, { cause: error });
  }
}

/** ssh-keygen writes it for its owner alone, 0600. Gives whether there was none. */
async function makeKey(path: string, comment: string): Promise<boolean> {
  if ((await stat(path).catch(() => undefined)) !== undefined) return false;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await keygen(['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', path]);
  return true;
}

/**
 * USER LINE KEY: of all lines with KEY this one stays, or comes; its folder and file are made where missing, for USER alone. Says which file that
 * is. The gate needs root, so it is a name of root's.
 */
const PUT_LINE = `
umask 077
[ "$(id -u "$1" 2>/dev/null)" = 0 ] || { echo "the login $1 is not root there, and the gate needs root" >&2; exit 1; }
h=$(awk -F : -v user="$1" '$1 == user { print $6 }' /etc/passwd)
f=\${h:-/root}/.ssh/authorized_keys
mkdir -p "\${f%/*}" || exit
[ -e "$f" ] || : >"$f" || exit
if [ "$(grep -cF -e "$3" "$f")" != 1 ] || ! grep -qxF -e "$2" "$f"; then
  { grep -vF -e "$3" "$f"; printf '%s\\n' "$2"; } >"$f.new" && sync "$f.new" && mv -f "$f.new" "$f" || exit
fi
echo "$f"`;

async function putLine(
  transport: Transport,
  user: string,
  line: string,
  key: string,
  signal: AbortSignal,
): Promise<string> {
  const argv = script(PUT_LINE, user, line, key);
  const { status, stdout, stderr } = await transport.run({ argv }, signal);
  if (status !== 0)
    throw new CommandFailure(`${transport.host}: authorized_keys: ${stderr.trim() || `status ${status}`}`);
  return stdout.trim();
}

/** By the new key, through the gate. */
async function knock(transport: Transport, authorizedKeys: string, signal: AbortSignal): Promise<void> {
  try {
    await transport.run({ argv: ['uname', '-r'] }, signal);
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    const where = `does sshd read ${authorizedKeys} (AuthorizedKeysFile), and let root in by a key (PermitRootLogin)?`;
    throw new CommandFailure(`${error.message}; the gate is put, and does not answer: ${where}`, { cause: error });
  }
}

/** For people. */
export const gateLines = (name: string, { stood, madeKey, identityFile, authorizedKeys, line, path }: AdoptedGate) => [
  `${name}: ${path} ${stood ? 'is this very gate' : 'is put'}, and answers`,
  `${identityFile} ${madeKey ? 'is made' : 'is the key'}; in ${authorizedKeys} of the host stands:`,
  line,
];
