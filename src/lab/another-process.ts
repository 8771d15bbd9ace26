import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
const nobody = ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups'];

/**
 * Before an argument vector: runs it as an ordinary user. Where the checkout stands in a folder closed to others, as root's home is,
 * it alone is put on an open one, at the same path, in a mount namespace.
 */
export const asNobody: readonly string[] = [
  ...['unshare', '--mount', 'sh', '-ec'],
  `checkout=$1; shift
  if ! ${nobody.join(' ')} test -r "$checkout"; then
    mount --bind "$checkout" /mnt
    top=\${checkout#/}
    mount -t tmpfs -o mode=755 tmpfs "/\${top%%/*}"
    mkdir -p "$checkout"
    mount --move /mnt "$checkout"
  fi
  exec ${nobody.join(' ')} "$@"`,
  ...['sh', checkout],
];

/** Before an argument vector: /dev/net/tun as most systems have it, open to all; in a mount namespace, so that this machine's stays as it is. */
export const withOpenTun: readonly string[] = [
  ...['unshare', '--mount', 'sh', '-ec'],
  'mount -t tmpfs tmpfs /dev/net; mknod -m 666 /dev/net/tun c 10 200; exec "$@"',
  'sh',
];

/** For tests of what outlives a process: runs `body` as a TypeScript module in another node; its first line is what it says. */
export async function inAnotherProcess(
  body: string,
  wrap: readonly string[] = [],
): Promise<{ readonly child: ChildProcess; readonly said: string }> {
  const [program = '', ...argv] = [...wrap, process.execPath, '--input-type=module-typescript', '-e', body];
  const child = spawn(program, argv, { cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] });
  const said = await new Promise<string>((resolve) => {
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('\n')) resolve(text.trim());
    });
    child.stdout?.on('close', () => resolve(text.trim()));
  });
  return { child, said };
}

/** Waits until `what` is true, at most 5 s. */
export async function until(what: () => boolean): Promise<void> {
  for (const end = Date.now() + 5_000; !what(); await sleep(10)) {
    if (Date.now() > end) throw new Error('did not come true within 5 s');
  }
}
