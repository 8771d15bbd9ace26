import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { CommandError, childOf, killIfAlive } from './command.ts';
import { needTools, searchPath } from './tools.ts';

/** A process that holds a mount, network and pid namespace open; with it everything inside ends. */
export interface Holder extends AsyncDisposable {
  /** Process 1 of the pid namespace, as this process sees it. */
  readonly pid: number;
}

/**
 * What process 1 does before it waits. /run is private and empty, so that the names of `ip netns` and the sockets of
 * wireguard-go are too. SIGCHLD is ignored so that the kernel reaps what loses its parent; a shell cannot, env can.
 */
const setUp = `
mount -t tmpfs -o mode=755 tmpfs /run &&
mkdir -p /run/sshd /run/lock &&
{ [ -L /var/run ] || mount --bind /run /var/run; } &&
ip link set lo up &&
echo ready &&
exec env --ignore-signal=CHLD`;

/**
 * Starts a holder: as root as it is, else as root of a user namespace of its own. A bound one ends with this process,
 * however that ends (its stdin closes); a detached one runs until it is killed.
 */
export async function startHolder(life: 'bound' | 'detached' = 'bound'): Promise<Holder> {
  needTools(['unshare', 'nsenter', 'ip']);
  const wait = life === 'bound' ? 'cat >/dev/null' : 'sleep infinity </dev/null >/dev/null 2>&1';
  const user = isRoot() ? [] : ['--user', '--map-root-user'];
  const flags = [...user, '--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const child = spawn('unshare', [...flags, 'sh', '-c', `${setUp} ${wait}`], {
    cwd: '/',
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, PATH: searchPath() },
    detached: true, // Ctrl-C in a terminal is for us; we then end the holder in order
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const exited = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve(status ?? 137));
  });
  const status = await Promise.race([once(child.stdout, 'data').then(() => undefined), exited]);
  if (status !== undefined || child.pid === undefined) {
    const hint = isRoot()
      ? ''
      : '; without root the system must allow user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0)';
    const result = { stdout: '', stderr: `${stderr.trim()}${hint}`, status: status ?? 1 };
    throw new CommandError('no namespaces', ['unshare', ...flags], result);
  }
  const outer = child.pid;
  const pid = childOf(outer);
  if (pid === undefined) throw new Error(`the holder ${outer} has no child`);
  const handles = [child, child.stdin, child.stdout, child.stderr] as readonly (typeof child | Socket)[];
  for (const handle of handles) handle.unref(); // a forgotten holder must not keep this process alive
  if (life === 'detached') for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe.destroy();
  return {
    pid,
    async [Symbol.asyncDispose]() {
      for (const handle of handles) handle.ref();
      killIfAlive(pid, 'SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await exited;
    },
  };
}

/** The argument vector that enters the namespaces of the holder `pid`, and the network namespace `name` if given. */
export function entryOf(pid: number, name?: string): readonly string[] {
  const user = isRoot() ? [] : ['--user', '--preserve-credentials'];
  // The file of a named namespace is opened before the mount namespace is entered, hence the way by /proc. One nsenter
  // costs 1 ms; `ip netns exec` 2 ms more, for a /sys of that namespace that nothing here reads.
  const net = name === undefined ? '--net' : `--net=/proc/${pid}/root/run/netns/${name}`;
  return ['nsenter', '-t', String(pid), ...user, '--mount', '--pid', net];
}

/** Whether this process is root where it stands. */
export const isRoot = (): boolean => process.getuid?.() === 0;
