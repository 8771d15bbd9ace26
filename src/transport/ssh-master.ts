/** The one connection to a host, by which all commands go. */
import { spawn } from 'node:child_process';
import { missingProgram } from './programs.ts';
import { sshReason } from './ssh-line.ts';
import { TransportError } from './transport.ts';

export interface SshMaster {
  readonly user: string;
  readonly isRoot: boolean;
  /** Its clock less ours, when it was reached. */
  readonly clockAheadSeconds: number;
  /** The inode numbers of its network namespace and of process 1's, where root says them: so nobody need ask. */
  readonly namespaces: readonly [own: string, first: string] | undefined;
  /** Ends the connection. */
  end(): void;
}

/** From the start to the first word of its shell. */
const READY_WITHIN_MS = 30_000;

/**
 * It holds the connection for as long as its stdin is open: with us it ends, however we end. What every look asks first comes with its first
 * word: over a long way that is a question less.
 */
export const holdLine = (become: 'sudo' | undefined): string =>
  `exec sh -c 'echo sallyport-ready "$(id -u)" "$(id -un)" "$(date +%s)" $(${become === undefined ? '' : 'sudo -n '}stat -L -c %i /proc/self/ns/net /proc/1/ns/net 2>/dev/null); exec cat >/dev/null'`;
const READY = /^sallyport-ready (\d+) (\S+) (\d*)(?: (\d+) (\d+))?[^\n]*\n/m;

/**
 * Started with `client`, the vector of a master without its address. Throws a TransportError where it cannot connect; `onEnd` when it
 * ends later. `explain` is asked first why it could not.
 */
export function startMaster(
  host: string,
  client: readonly string[],
  address: string,
  environment: Readonly<Record<string, string>>,
  onEnd: () => void,
  readyWithinMs = READY_WITHIN_MS,
  explain: (stderr: string) => Promise<string | undefined> = async () => undefined,
  held: string = holdLine(undefined),
): Promise<SshMaster> {
  const [program = '', ...rest] = client;
  // In a group of its own: Ctrl-C is for us, who then end what is under way.
  const child = spawn(program, [...rest, '-T', '--', address, held], {
    ...{ stdio: 'pipe', detached: true, cwd: '/' },
    env: environment,
  });
  return new Promise((resolve, reject) => {
    let [told, complained] = ['', ''];
    const fail = (what: string): void => reject(new TransportError(host, ['ssh', address], `SSH: ${what}`));
    const late = setTimeout(() => {
      child.kill();
      const where =
        complained.trim() === '' ? 'look at what its login shell does first (.bashrc)' : sshReason(complained);
      fail(`no shell answered within ${readyWithinMs / 1000} s: ${where}`);
    }, readyWithinMs);
    child.stdin.on('error', () => {}); // it ended: said below
    child.stderr.on('data', (chunk: Buffer) => {
      complained = (complained + chunk.toString('utf8')).slice(-4_000);
    });
    child.stdout.on('data', (chunk: Buffer) => {
      told = (told + chunk.toString('utf8')).slice(-4_000);
      const ready = READY.exec(told);
      if (ready === null) return;
      clearTimeout(late);
      // It must not keep this process alive.
      child.unref();
      for (const stream of [child.stdin, child.stdout, child.stderr])
        if ('unref' in stream && typeof stream.unref === 'function') stream.unref();
      const [, uid, user = '', seconds, own, first] = ready;
      const clockAheadSeconds = Math.round(Number(seconds) - Date.now() / 1_000);
      const namespaces = own === undefined || first === undefined ? undefined : ([own, first] as const);
      resolve({ isRoot: uid === '0', user, clockAheadSeconds, namespaces, end: () => child.kill() });
    });
    child.once('error', (error) => {
      clearTimeout(late);
      onEnd();
      fail('code' in error && error.code === 'ENOENT' ? missingProgram('ssh') : error.message);
    });
    child.once('close', () => {
      clearTimeout(late);
      onEnd();
      explain(complained).then((what) => fail(what ?? sshReason(complained)), reject);
    });
  });
}
