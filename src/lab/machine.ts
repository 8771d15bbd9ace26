import { spawn } from 'node:child_process';
import { accessSync, constants, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CommandError, childOf, createRunner, killIfAlive, type Runner } from './command.ts';
import { isRoot } from './holder.ts';
import { needTools, searchPath } from './tools.ts';

/** A machine of its own: the real systemd as process 1, on this kernel. Its own network is its main one, as on a host. */
export interface Machine extends Runner, AsyncDisposable {
  readonly pid: number;
}

export interface MachineOptions {
  /** Units that are started; what they need comes with them, and nothing else. */
  readonly units: readonly string[];
  /** Files that stand there before the first process, by path. */
  readonly files?: Readonly<Record<string, string>>;
  /** A script that makes links and network namespaces before systemd starts; `ip netns` finds its names in the machine. */
  readonly network?: string;
}

/**
 * The files are this machine's, read-only, below a layer in memory, /tmp and /dev included: whatever systemd does there, none of it
 * comes out. What it would do to the kernel (sysctls, modules) is masked. The programs' /run/netns must be there before they are.
 */
const setUp = `
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty net/tun; do
  [ -e "/dev/$node" ] || continue
  mkdir -p "dev/$(dirname "$node")"; : >"dev/$node"; mount --bind "/dev/$node" "dev/$node"
done
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs run
if [ ! -e ".$1/package.json" ]; then mkdir -p ".$1"; mount --bind "$1" ".$1"; fi # a file system of its own
pivot_root . mnt
umount -l /mnt
cd /
for unit in systemd-sysctl systemd-modules-load systemd-binfmt systemd-tmpfiles-setup systemd-tmpfiles-setup-dev systemd-journald systemd-journal-flush systemd-hostnamed; do
  ln -sf /dev/null "/etc/systemd/system/$unit.service"
done
rm -rf /etc/sallyport /etc/systemd/network/* /etc/systemd/networkd.conf.d /etc/NetworkManager/conf.d/* /etc/sysctl.d/*
while read -r path; do mkdir -p "\${path%/*}"; IFS= read -r size; head -c "$size" >"$path"; read -r _; done`;

const checkout = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

const TARGET = 'lab.target';

/** Why no machine can be started here; undefined where one can. */
export function machineProblem(): string | undefined {
  if (!isRoot()) return 'it takes root';
  try {
    accessSync(join(cgroups(), 'cgroup.procs'), constants.W_OK);
    accessSync('/lib/systemd/systemd', constants.X_OK);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Starts a machine in about a second; it and all of its processes are gone with the disposal, or with the end of this process. */
export async function startMachine({ units, files = {}, network = '' }: MachineOptions): Promise<Machine> {
  needTools(['unshare', 'nsenter', 'setpriv', 'ip']);
  const group = join(cgroups(), `sallyport-lab-${process.pid}-${Date.now()}`);
  mkdirSync(group);
  const all = { ...files, [`/etc/systemd/system/${TARGET}`]: `[Unit]\nWants=${units.join(' ')}\n` };
  const input = Object.entries(all).map(([path, text]) => `${path}\n${Buffer.byteLength(text)}\n${text}\n`);
  const boot = `${setUp}
ip link set lo up
${network}
exec env -i container=lab "PATH=$PATH" /lib/systemd/systemd --unit=${TARGET} --log-target=console </dev/null`;
  const flags = ['--mount', '--net', '--pid', '--cgroup', '--uts', '--ipc', '--fork', '--kill-child'];
  const enter = 'echo $$ >"$1/cgroup.procs"; shift; exec setpriv --pdeathsig KILL -- "$@"';
  const child = spawn('sh', ['-c', enter, 'sh', group, 'unshare', ...flags, 'sh', '-c', boot, 'sh', checkout], {
    cwd: '/',
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...process.env, PATH: searchPath() },
    detached: true,
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  child.stdin.on('error', () => {}); // it ended before it read all: its status tells
  child.stdin.end(input.join(''));
  const dispose = async (): Promise<void> => {
    const pid = isOver() || child.pid === undefined ? undefined : childOf(child.pid);
    if (pid !== undefined) killIfAlive(pid, 'SIGKILL');
    await exited;
    await removeGroup(group);
  };
  try {
    const pid = await processOne(child.pid, isOver);
    const entry = ['nsenter', '-t', String(pid), '--mount', '--net', '--pid', '--cgroup', '--uts', '--ipc'];
    const runner = createRunner('machine', entry);
    const booted = async () =>
      (await runner.run(['systemctl', 'is-active', '--quiet', ...units], { allowFailure: true })).status === 0;
    for (const end = Date.now() + 180_000; !(await booted()); await sleep(50)) {
      if (Date.now() > end) throw new Error(`it does not come up: ${said}`);
    }
    return { ...runner, pid, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw new CommandError('machine', ['systemd'], { stdout: '', stderr: `${String(error)} ${said}`, status: 1 });
  }
}

/** Waits until systemd is process 1 there. */
async function processOne(outer: number | undefined, isOver: () => boolean): Promise<number> {
  while (outer !== undefined && !isOver()) {
    const pid = childOf(outer);
    if (pid !== undefined && readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'systemd') return pid;
    await sleep(10);
  }
  throw new Error('it ended before systemd was there');
}

/** Where the kernel's one hierarchy of control groups is mounted: at /sys/fs/cgroup, or beside the older kind. */
function cgroups(): string {
  const mount = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .find((line) => line.split(' ')[2] === 'cgroup2');
  const at = mount?.split(' ')[1];
  if (at === undefined) throw new Error('no cgroup2 is mounted');
  return at;
}

/** Groups go from the innermost; the last processes leave them a moment after they were killed. */
async function removeGroup(group: string): Promise<void> {
  const remove = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true }))
      if (entry.isDirectory()) remove(join(path, entry.name));
    rmdirSync(path);
  };
  for (let left = 100; ; left--) {
    try {
      remove(group);
      return;
    } catch (error) {
      if (left === 0) throw error;
      await sleep(20);
    }
  }
}
