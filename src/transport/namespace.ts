import { commandTransport } from './commands.ts';
import { machineFiles } from './files.ts';
import { isRoot, NAMESPACE_STATES, needRoot } from './local.ts';
import { FIND_NAMESPACE, script, WITH_SOCKETS } from './scripts.ts';
import { type Transport, TransportError } from './transport.ts';

/** Where `ip netns` keeps the names of network namespaces. */
const NAMES = '/run/netns';

export interface NamespaceOptions {
  /** An argument vector that goes before every command: `nsenter …` into a lab's namespaces. */
  readonly entry?: readonly string[];
}

/**
 * Commands in the network namespace `name` of `ip netns`, each in a mount namespace of its own with the folder of this
 * namespace's wireguard-go sockets at /run/wireguard: both ends of a tunnel may bear one name on one machine.
 */
export function namespaceTransport(host: string, name: string, options: NamespaceOptions = {}): Transport {
  const entry = [...(options.entry ?? []), 'nsenter', `--net=${NAMES}/${name}`, '--'];
  const outside = commandTransport(host, {
    enter: async (argv) => [...(options.entry ?? []), ...argv],
    explain: async () => undefined,
  });
  const find = async (signal: AbortSignal | undefined): Promise<Found> => {
    needRoot(host, ['nsenter']);
    const argv = script(FIND_NAMESPACE, `${NAMES}/${name}`, NAMESPACE_STATES);
    const { stdout, stderr, status } = await outside.run({ argv }, signal);
    const [inode, birth] = stdout.split('\n');
    if (inode && birth) return { folder: `${NAMESPACE_STATES}/${inode}`, birth };
    if (status !== 44) throw new TransportError(host, argv, `the state of "${name}" cannot be read: ${stderr.trim()}`);
    const { stdout: names } = await outside.run({ argv: script('ls -1 "$1" 2>/dev/null || :', NAMES) }, signal);
    const others = names.split('\n').filter((each) => each !== '');
    const there = others.length === 0 ? 'there is none' : `there are ${others.join(', ')}`;
    throw new TransportError(host, argv, `no network namespace "${name}": ${there}`);
  };
  let known: Promise<Found> | undefined;
  const found = (signal: AbortSignal | undefined): Promise<Found> => {
    known ??= find(signal).catch((error: unknown) => {
      known = undefined;
      throw error;
    });
    return known;
  };
  const commands = commandTransport(host, {
    async enter(argv, signal) {
      const sockets = `${(await found(signal)).folder}/wireguard`;
      return [
        ...entry,
        'unshare',
        '--mount',
        '--propagation',
        'private',
        '--',
        ...script(WITH_SOCKETS, sockets, ...argv),
      ];
    },
    async explain({ stderr }, signal) {
      if (!stderr.startsWith('nsenter: ')) return undefined;
      known = undefined;
      await find(signal); // the namespace went away, or its name stands for nothing: `ip netns add` was interrupted
      return `the network namespace "${name}" cannot be entered: ${stderr.trim()}`;
    },
  });
  // Files are the same in all network namespaces: to enter one costs as much as to write.
  const files = options.entry === undefined && isRoot() ? machineFiles(host) : outside;
  return {
    ...commands,
    namespace: name,
    readFile: files.readFile,
    removeFile: files.removeFile,
    async writeFile(path, content, mode, options) {
      const { folder, birth } = await found(options?.signal);
      const isRecord = path === `${folder}/record.json`;
      await files.writeFile(path, content, mode, {
        ...options,
        ...(isRecord && { note: [`${folder}/namespace`, birth] as const }),
      });
    },
    stateFolder: async (signal) => (await found(signal)).folder,
  };
}

interface Found {
  readonly folder: string;
  /** When the namespace was made, as `stat` prints it. It holds as long as `ip netns` keeps the name. */
  readonly birth: string;
}
