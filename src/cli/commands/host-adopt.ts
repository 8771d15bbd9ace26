import { readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { type Access, withHostKey } from '../../resources/index.ts';
import { fingerprintOf, type LearnedKey, learnHostKey } from '../../transport/index.ts';
import { CommandFailure, DONE, UsageError } from '../exit.ts';
import { type AdoptedGate, adoptGate, gateLines, loginOf } from '../gate/adopt.ts';
import { type HostLook, lookAtHost, openLook, sshOptions } from '../host-look.ts';
import { type NamedHost, nameHost } from '../host-name.ts';
import { lookLines } from '../host-text.ts';
import { listenForInterrupt } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { confirm, someoneIsThere } from '../terminal.ts';

export interface AdoptFlags {
  readonly file?: readonly string[];
  readonly fingerprint?: string;
  readonly through?: string;
  readonly yes?: boolean;
}

/** Learns a host's key, has it compared, and writes it down; then looks at what the host has. Nobody logs in before. */
export async function adoptHost(output: Output, given: string, flags: AdoptFlags): Promise<number> {
  requireAnswer(flags);
  const host = await nameHost(given, flags.file);
  const { name, access, file } = host;
  if (access.kind !== 'ssh' && access.kind !== 'agent')
    throw new UsageError(`${name} is reached by ${access.kind}, which has no host key`);
  if (flags.through !== undefined && access.kind === 'ssh')
    throw new UsageError(`--through is for access.agent, and ${name} is reached by ssh`);
  const login = access.kind === 'ssh' ? access : loginOf(access, flags.through);
  using interrupt = listenForInterrupt(false);
  output.progress(`asking ${access.address} for its key`);
  const learned = await learnHostKey(name, sshOptions(login, file ?? '.'), interrupt.signal);
  const { hostKey, fingerprint } = learned;
  const isNew = access.hostKey === undefined || fingerprintOf(access.hostKey) !== fingerprint;
  if (isNew) await compare(output, { name, access, learned, flags, signal: interrupt.signal });
  const written = isNew && file !== undefined ? await writeKey(file, name, hostKey) : undefined;
  const pinned = { ...login, hostKey };
  output.progress(`looking at ${name}`);
  let look: HostLook | undefined;
  let gate: AdoptedGate | undefined;
  let why: unknown;
  try {
    look = await lookAtHost(openLook(name, pinned, file ?? '.'), interrupt.signal);
    if (access.kind === 'agent') {
      output.progress(`putting the gate of ${name}`);
      const to = { name, access: { ...access, hostKey }, file: file ?? '.' };
      gate = await adoptGate(to, look.root === 'sudo' ? { ...pinned, become: 'sudo' } : pinned, interrupt.signal);
    }
  } catch (error) {
    why = error;
  }
  const value = {
    host: name,
    fingerprint,
    hostKey,
    written: written ?? null,
    ...(gate && { gate }),
    ...(look && { look }),
  };
  await output.result(value, () => printAdopted(host, given, { hostKey, isNew, written, gate }, look));
  // Its key is what it is, whoever may log in.
  if (why !== undefined) throw why;
  return DONE;
}

/** Throws a UsageError where nobody could say that the key is the right one. */
function requireAnswer({ fingerprint, yes }: AdoptFlags): void {
  if (fingerprint !== undefined && !/^SHA256:[A-Za-z0-9+/]{43}$/.test(fingerprint))
    throw new UsageError(`--fingerprint "${fingerprint}" is not SHA256:… as ssh-keygen -lf shows it`);
  if (fingerprint === undefined && yes !== true && !someoneIsThere())
    throw new UsageError(
      'host adopt asks whether the key is the right one, and stdin is no terminal: give --fingerprint SHA256:… (on the host: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)',
    );
}

interface Comparison {
  readonly name: string;
  readonly access: Access & { readonly kind: 'ssh' | 'agent' };
  readonly learned: LearnedKey;
  readonly flags: AdoptFlags;
  readonly signal: AbortSignal;
}

/** Throws where the key is another than it should be, or nobody says that it is the right one. */
async function compare(output: Output, { name, access, learned, flags, signal }: Comparison): Promise<void> {
  const { fingerprint, known } = learned;
  const nothing = 'nobody logged in and nothing was written';
  if (flags.fingerprint !== undefined) {
    if (flags.fingerprint === fingerprint) return;
    throw new CommandFailure(
      `${name}: its key is ${fingerprint}, and --fingerprint says ${flags.fingerprint}: ${nothing}`,
    );
  }
  const replace = `compare on its console, then give --fingerprint ${fingerprint}`;
  if (access.hostKey !== undefined)
    throw new CommandFailure(
      `${name}: its key is ${fingerprint}, and access.${access.kind}.hostKey has ${fingerprintOf(access.hostKey) ?? 'no key'}: somebody may be in between, or it was installed anew; ${nothing}. Where it is right, ${replace}`,
    );
  if (known === 'another')
    throw new CommandFailure(
      `${name}: its key is ${fingerprint}, and your known_hosts have another: somebody may be in between, or it was installed anew; ${nothing}. Where it is right, ${replace}`,
    );
  if (flags.yes === true) {
    if (known === 'same') return;
    throw new CommandFailure(
      `${name}: its key is ${fingerprint}, and your known_hosts do not know it: --yes alone takes no key that nobody has compared; ${nothing}; ${replace}`,
    );
  }
  output.say(`${name} shows the key ${fingerprint} (${learned.hostKey.split(' ')[0]}).`);
  output.say(
    known === 'same'
      ? 'Your known_hosts have this very key.'
      : 'Your known_hosts do not know it. On its console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub',
  );
  if (!(await confirm(`Is this the key of ${name}?`, signal)))
    throw new CommandFailure(`${name}: not adopted: ${nothing}`);
}

/** Puts the key into the document of its Host, and gives the file; undefined where that is no file to be written. */
async function writeKey(file: string, name: string, hostKey: string): Promise<string | undefined> {
  const path = await realpath(file).catch(() => undefined);
  if (path === undefined) return undefined;
  const { mode, ...kind } = await stat(path).then((found) => ({ mode: found.mode, isFile: found.isFile() }));
  if (!kind.isFile) return undefined;
  const text = withHostKey(await readFile(path, 'utf8'), name, hostKey);
  if (text === undefined)
    throw new CommandFailure(`${file}: no place was found for hostKey: ${JSON.stringify(hostKey)}`);
  const draft = `${path}.new`;
  try {
    await writeFile(draft, text, { mode: mode & 0o777, flag: 'wx' });
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw new CommandFailure(`${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  return file;
}

interface Adopted {
  readonly hostKey: string;
  readonly isNew: boolean;
  readonly written: string | undefined;
  readonly gate: AdoptedGate | undefined;
}

/** The line for the document, unless it stands there; what else is said of the host as comments beside it. */
function printAdopted(
  { name, file }: NamedHost,
  given: string,
  { hostKey, isNew, written, gate }: Adopted,
  look: HostLook | undefined,
): string {
  const first =
    written !== undefined
      ? `# ${name}: its key is in ${written} now`
      : isNew
        ? `hostKey: ${JSON.stringify(hostKey)}`
        : `# ${name}: its key is the one that ${file ?? 'the document'} has`;
  const found = look === undefined ? [] : lookLines(name, look, given, file);
  const about = [...(gate === undefined ? [] : gateLines(name, gate)), ...found];
  return [first, ...about.map((line) => `# ${line}`), ''].join('\n');
}
