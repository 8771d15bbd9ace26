/** Files of this machine, without a process for each: where we are root here, and a record may be two megabytes. */
import { access, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import type { CommandTransport } from './commands.ts';
import { armedName, type Guard, TOO_LATE } from './guard.ts';
import { TransportError } from './transport.ts';

/** Reads and writes as a CommandTransport does by the shell. */
export function machineFiles(host: string): Pick<CommandTransport, 'readFile' | 'writeFile' | 'removeFile'> {
  const attempt = async <T>(path: string, what: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> => {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      throw new TransportError(host, [path], `${path} cannot be ${what}: ${reasonOf(error)}`, { cause: error });
    }
  };
  return {
    readFile: (path, signal) => attempt(path, 'read', () => textOf(path), signal),
    writeFile: (path, content, mode, { signal, note, guard } = {}) =>
      attempt(
        path,
        'written',
        async () => {
          if (guard !== undefined) await requireArmed(guard);
          if (note !== undefined) await keep(...note);
          await put(path, content, mode, guard);
        },
        signal,
      ),
    removeFile: (path, signal) => attempt(path, 'removed', () => rm(path, { force: true }), signal),
  };
}

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);

const textOf = (path: string): Promise<string | undefined> =>
  readFile(path, 'utf8').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });

async function requireArmed({ folder, token }: Guard): Promise<void> {
  await access(join(folder, armedName(token))).catch((error: unknown) => {
    throw codeOf(error) === 'ENOENT' ? new Error(TOO_LATE) : error;
  });
}

/**
 * The temporary file has a fixed name, so that what a killed run left is overwritten and not gathered. Who undoes removes it too: of a host
 * that is armed no more, nothing can take the file's place after that.
 */
async function put(path: string, content: string, mode: number, guard?: Guard): Promise<void> {
  const folder = dirname(path);
  const draft = `${path}.new`;
  await makeFolder(folder);
  try {
    await using file = await open(draft, 'w', 0o600);
    await file.writeFile(content);
    await file.chmod(mode);
    await file.sync();
    if (guard !== undefined) await requireArmed(guard);
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {}); // what failed before is what is said
    throw error;
  }
  await rename(draft, path);
  await using standing = await open(folder);
  await standing.sync();
}

/** With those above it. Not by `recursive`: on a read-only file system Node then says nothing, and makes nothing. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, 0o700);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return;
    if (codeOf(error) !== 'ENOENT') throw error;
    await makeFolder(dirname(path));
    // Once more, as another host's may have been made meanwhile.
    await makeFolder(path);
  }
}

/** The file has this one line, and is left alone where it has. */
async function keep(path: string, line: string): Promise<void> {
  if ((await textOf(path)) !== `${line}\n`) await put(path, `${line}\n`, 0o600);
}

/** As the system says it elsewhere: `No space left on device`. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const number = 'errno' in error && typeof error.errno === 'number' ? error.errno : undefined;
  const words = number === undefined ? undefined : getSystemErrorMap().get(number)?.[1];
  return words === undefined ? error.message : words.charAt(0).toUpperCase() + words.slice(1);
}
