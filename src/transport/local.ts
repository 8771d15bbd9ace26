import { commandTransport } from './commands.ts';
import { machineFiles } from './files.ts';
import { commandEnvironment } from './process.ts';
import type { Output, Transport } from './transport.ts';
import { TransportError } from './transport.ts';

export interface LocalOptions {
  /** Commands run by `sudo -n`: it must not ask for a password. */
  readonly become?: 'sudo';
  /** An argument vector that goes before every command: `nsenter …` into a lab's namespaces. */
  readonly entry?: readonly string[];
}

/** Commands on this machine, in the network namespace this process stands in. Wants root, or `become: 'sudo'`. */
export function localTransport(host: string, options: LocalOptions = {}): Transport {
  const entry = options.entry ?? [];
  const sudo = options.become === 'sudo' && !isRoot();
  const commands = commandTransport(host, {
    async enter(argv) {
      if (sudo) {
        const { PATH, LC_ALL } = commandEnvironment(); // sudo takes ours away
        return ['sudo', '-n', '--', ...entry, 'env', `PATH=${PATH}`, `LC_ALL=${LC_ALL}`, ...argv];
      }
      needRoot(host, argv);
      return entry.length === 0 ? argv : [...entry, 'env', ...argv];
    },
    explain: async (output) => (sudo ? sudoRefusal(output) : undefined),
    ...(sudo && {
      killWith: (signal: string, group: number) => ['sudo', '-n', '--', 'kill', `-${signal}`, '--', `-${group}`],
    }),
  });
  return {
    ...commands,
    ...(entry.length === 0 && isRoot() && machineFiles(host)),
    stateFolder: (signal) => stateFolderOf(host, commands, signal),
  };
}

/** Of the namespace in which commands run. */
export async function stateFolderOf(
  host: string,
  { run }: Pick<Transport, 'run'>,
  signal: AbortSignal | undefined,
): Promise<string> {
  // One that cannot be read belongs to somebody with more rights than we have: we stand in a container or a sandbox, and
  // what must not outlive its kernel state goes where it does not.
  const argv = ['stat', '-L', '-c', '%i', '/proc/self/ns/net', '/proc/1/ns/net'];
  const { stdout, stderr } = await run({ argv }, signal);
  const [own = '', first] = stdout.trim().split('\n');
  if (!/^\d+$/.test(own)) throw new TransportError(host, argv, `its network namespace is unknown: ${stderr.trim()}`);
  return stateFolderIn(own, first);
}

/** `own`, `first`: the inode numbers of the network namespace that commands run in, and of process 1's. */
export const stateFolderIn = (own: string, first: string | undefined): string =>
  own === first ? '/etc/sallyport' : `${NAMESPACE_STATES}/${own}`;

/** Where states lie that end with their network namespace: a folder each, named by its inode number. */
export const NAMESPACE_STATES = '/run/sallyport/netns';

/** Throws where this process is not root. */
export function needRoot(host: string, argv: readonly string[]): void {
  if (isRoot()) return;
  const what = 'programming this host needs root: run as root, or set access.local with become: sudo';
  throw new TransportError(host, argv, what);
}

export const isRoot = (): boolean => process.getuid?.() === 0;

export function sudoRefusal({ stderr, status }: Output): string | undefined {
  const line = stderr.split('\n').find((each) => each.startsWith('sudo: '));
  if (status !== 1 || line === undefined) return undefined;
  return `become: sudo was refused: ${line.slice('sudo: '.length)}`;
}
