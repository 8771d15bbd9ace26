/**
 * One apply at a time on a host: a lock file in its state folder says who is at work. A lock whose holder is dead is taken over,
 * told by pid and start time (pids are used again), or by another boot of the same machine.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { script, type Transport } from '../transport/index.ts';

/** Another Sallyport is at work on the host. */
export class LockHeld extends Error {
  readonly host: string;
  constructor(host: string, message: string) {
    super(`${host}: ${message}`);
    this.name = 'LockHeld';
    this.host = host;
  }
}

interface Holder {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */
  readonly started: string;
  readonly boot: string;
  readonly pidNamespace: string;
  readonly machine: string;
  readonly user: string;
  readonly command: string;
  readonly since: string;
}

export interface Lock {
  /** Gives the host free; a state folder that holds nothing else goes with it. */
  release(): Promise<void>;
}

/** Puts $3 in the place of the dead holder's lock $1, if that still says $2; one at a time, by a flock on the folder. */
export const TAKE_OVER = 'test "$(cat -- "$1")" = "$2" && mv -T -- "$3" "$1"';

/**
 * FOLDER HOLDER: gives the host free, where that is who holds it; a folder that holds nothing else goes too. What has ended stays so after a loss
 * of power: from another machine nobody could tell a lock that came back from one of somebody who is at work.
 */
export const GIVE_FREE = `
{ IFS= read -r holder <"$1/lock"; } 2>/dev/null && [ "$holder" = "$2" ] && rm -f -- "$1/lock"
rmdir "$1" 2>/dev/null
[ "$1" != /etc/sallyport ] || sync "$1" 2>/dev/null || sync /etc 2>/dev/null || sync`;

/** Tells several locks of one process apart while they are made. */
let drafts = 0;

/** Takes the host's lock for `command` (`apply`, `destroy`). Throws LockHeld, or a TransportError where the folder cannot be written. */
export async function lockHost(transport: Transport, command: string, signal?: AbortSignal): Promise<Lock> {
  const folder = await transport.stateFolder(signal);
  const path = `${folder}/lock`;
  const draft = `${path}.${process.pid}.${++drafts}`;
  const mine = JSON.stringify(describeUs(command));
  try {
    await transport.writeFile(draft, `${mine}\n`, 0o600, { signal });
    // A hard link is made or refused in one step, so that one of many gets the name.
    for (let attempt = 1; !(await succeeds(transport, ['ln', '-T', draft, path], signal)); attempt++) {
      const found = await transport.readFile(path, signal);
      if (found === undefined && attempt < 5) continue; // given free meanwhile
      const holder = found === undefined ? undefined : readHolder(found);
      if (found === undefined || (holder !== undefined && isAlive(holder)))
        throw new LockHeld(transport.host, describeHolder(holder, path));
      if (await succeeds(transport, ['flock', folder, 'sh', '-c', TAKE_OVER, 'sh', path, found.trim(), draft], signal))
        break;
      if (attempt >= 5) throw new LockHeld(transport.host, describeHolder(undefined, path));
    }
  } finally {
    await transport.removeFile(draft);
  }
  return {
    async release() {
      await transport.run({ argv: script(GIVE_FREE, folder, mine) });
    },
  };
}

/** Takes locks on several hosts, all or none; give them free by `release`. */
export async function lockAll(transports: readonly Transport[], command: string, signal?: AbortSignal): Promise<Lock> {
  const locks: Lock[] = [];
  const release = async (): Promise<void> => {
    for (const lock of locks.splice(0).reverse()) await lock.release();
  };
  try {
    for (const transport of transports) locks.push(await lockHost(transport, command, signal));
  } catch (error) {
    await release();
    throw error;
  }
  return { release };
}

async function succeeds(
  transport: Transport,
  argv: readonly string[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  return (await transport.run({ argv }, signal)).status === 0;
}

function describeUs(command: string): Holder {
  return {
    pid: process.pid,
    started: startOf('self') ?? '',
    boot: bootId(),
    pidNamespace: readlinkSync('/proc/self/ns/pid'),
    machine: hostname(),
    user: process.env.SUDO_USER ?? process.env.USER ?? `uid ${process.getuid?.()}`,
    command,
    since: new Date().toISOString(),
  };
}

const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

/** When a process of this machine started, in clock ticks since boot; undefined where there is none of that number. */
function startOf(pid: number | 'self'): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may hold spaces and brackets; what follows the last one are fields 3 and on (proc_pid_stat(5)).
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return undefined;
    throw error;
  }
}

/** Whether the holder may still be at work; true where that cannot be known from here. */
function isAlive(holder: Holder): boolean {
  if (holder.machine !== hostname()) return true;
  if (holder.boot !== bootId()) return false;
  if (holder.pidNamespace !== readlinkSync('/proc/self/ns/pid')) return true;
  return startOf(holder.pid) === holder.started;
}

/** Reads a lock's text; undefined where it is damaged (a full disk, a crash), which no holder of ours leaves. */
function readHolder(text: string): Holder | undefined {
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null) return undefined;
  const field = (name: string): string => {
    const found: unknown = Reflect.get(value, name);
    return typeof found === 'string' ? found : '';
  };
  const pid: unknown = Reflect.get(value, 'pid');
  if (typeof pid !== 'number') return undefined;
  return {
    pid,
    started: field('started'),
    boot: field('boot'),
    pidNamespace: field('pidNamespace'),
    machine: field('machine'),
    user: field('user'),
    command: field('command'),
    since: field('since'),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function describeHolder(holder: Holder | undefined, path: string): string {
  if (holder === undefined) return `another sallyport is at work here (${path}); try again`;
  return `another sallyport is at work here: ${printHolder(holder)}; wait for it, or end it`;
}

const printHolder = ({ command, user, pid, machine, since }: Holder): string =>
  `${command} by ${user}, process ${pid} on ${machine}, since ${since}`;

/** Who we are, for whoever finds a change of ours: `apply by root, process 4711 on mars, since …`. */
export const printUs = (command: string): string => printHolder(describeUs(command));
