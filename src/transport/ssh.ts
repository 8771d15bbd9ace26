import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandTransport } from './commands.ts';
import { gateProblem, gateRefusal, gateRequest } from './gate.ts';
import { changedKey } from './host-key.ts';
import { stateFolderIn, stateFolderOf, sudoRefusal } from './local.ts';
import { commandEnvironment, systemEnvironment, takeTurns } from './process.ts';
import { missingProgram } from './programs.ts';
import { END_GROUP, script } from './scripts.ts';
import { clientEnvironment, clientOptions, type SshOptions } from './ssh-client.ts';
import { groupIn, ownLines, readSshOutput, remoteLine } from './ssh-line.ts';
import { holdLine, type SshMaster, startMaster } from './ssh-master.ts';
import { type Transport, TransportError, type WriteOptions } from './transport.ts';

/**
 * Commands on a host that the system's OpenSSH client reaches, with the user's own configuration, agent and keys; all by one connection. The far
 * side needs a POSIX shell. Wants root there, or `become: 'sudo'`.
 */
export const sshTransport = (host: string, options: SshOptions): Transport => openSsh(host, options, { masters: [] });

/** What a transport made on this machine, for who ends it. */
interface Made {
  readonly masters: Promise<SshMaster>[];
  folder?: string;
}

function openSsh(host: string, options: SshOptions, made: Made): Transport {
  const { entry = [], become, gate } = options;
  const prepare = async (): Promise<Prepared> => {
    made.folder = options.folder ?? (await makeFolder());
    const { folder } = made;
    const socket = join(folder, 'master');
    return { socket, client: [...entry, 'ssh', ...(await clientOptions(folder, options))] };
  };
  const environment = { ...commandEnvironment(), ...clientEnvironment() };
  let prepared: Promise<Prepared> | undefined;
  let master: Promise<SshMaster> | undefined;
  const connect = async (): Promise<Reached> => {
    prepared ??= prepare();
    const { client, socket } = await prepared;
    const vector = [...client, '-M', '-S', socket];
    const onEnd = (): void => {
      master = undefined;
    };
    const explain = async (stderr: string): Promise<string | undefined> =>
      (gate && gateProblem(stderr)) ?? (await changedKey(stderr, options.hostKey));
    const held = gate === undefined ? holdLine(become) : gateRequest(['hold'], gate);
    if (master === undefined) {
      master = startMaster(host, vector, options.address, environment, onEnd, options.readyWithinMs, explain, held);
      made.masters.push(master);
    }
    const standing = await master.catch((error: unknown) => {
      master = undefined;
      throw error;
    });
    if (!standing.isRoot && become === undefined && options.anyUser !== true) {
      const what = `programming this host needs root, and ${standing.user} is not: log in as root, or set become: sudo beside ssh`;
      throw new TransportError(host, ['ssh'], what);
    }
    return { client, socket, standing };
  };
  const words = (argv: readonly string[]): readonly string[] =>
    gate !== undefined
      ? argv
      : [
          ...(become === undefined ? [] : ['sudo', '-n', '--']),
          ...['env', ...Object.entries(systemEnvironment()).map(([name, value]) => `${name}=${value}`)],
          ...argv,
        ];
  const through = ({ client, socket }: Prepared, argv: readonly string[]): readonly string[] => [
    ...[...client, '-S', socket, '-o', 'ControlMaster=no', '-T', '--', options.address],
    gate === undefined ? remoteLine(argv) : gateRequest(argv, gate),
  ];
  let reached: Prepared | undefined;
  const commands = commandTransport(host, {
    async enter(argv) {
      reached = await connect();
      return through(reached, words(argv));
    },
    async explain(output) {
      if (gate !== undefined) return gateRefusal(output);
      if (become === undefined) return undefined;
      const isMissing = output.status === 127 && /\bsudo: (?:command )?not found/.test(output.stderr);
      return isMissing ? missingProgram('sudo') : sudoRefusal(output);
    },
    read: readSshOutput,
    turns: takeTurns(SESSIONS),
    lines: ownLines,
    environment,
    // Of what comes over a line, the first part may be all that comes.
    oneWrite: 0,
    killThere(stderr) {
      const group = groupIn(stderr);
      return group === undefined || reached === undefined
        ? undefined
        : through(reached, words(script(END_GROUP, String(group))));
    },
  });
  return {
    ...commands,
    // What a gate judges, it must see whole.
    ...(gate !== undefined && {
      writeFile: (path: string, content: string, mode: number, { standing: _, ...more }: WriteOptions = {}) =>
        commands.writeFile(path, content, mode, more),
    }),
    clockAhead: async () => (await connect()).standing.clockAheadSeconds,
    async stateFolder(signal) {
      const { namespaces } = (await connect()).standing;
      return namespaces === undefined ? stateFolderOf(host, commands, signal) : stateFolderIn(...namespaces);
    },
    anew() {
      // A client and a socket of its own: from the first packet on, as anybody who logs in.
      const { folder: _, ...same } = options;
      const own: Made = { masters: [] };
      const readyWithinMs = Math.min(options.readyWithinMs ?? ANEW_MS, ANEW_MS);
      const transport = openSsh(host, { ...same, readyWithinMs }, own);
      return {
        transport,
        close: () => {
          for (const each of own.masters) each.then(({ end }) => end()).catch(() => {}); // said where it was used
          if (own.folder !== undefined) removeFolder(own.folder);
        },
      };
    },
  };
}

/** At once by one connection: sshd refuses more than 10 (MaxSessions), of which one holds it and one ends what takes too long. */
const SESSIONS = 8;

/** A host that takes longer to let somebody in is asked again, or taken to be gone. */
const ANEW_MS = 10_000;

/** Gone with this process. */
async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-ssh-'));
  if (folders.size === 0) process.once('exit', removeFolders);
  folders.add(folder);
  return folder;
}

const folders = new Set<string>();

function removeFolders(): void {
  for (const folder of folders) removeFolder(folder);
}

function removeFolder(folder: string): void {
  folders.delete(folder);
  rmSync(folder, { recursive: true, force: true });
}

interface Reached extends Prepared {
  readonly standing: SshMaster;
}

interface Prepared {
  /** The client with all its options, without the address. */
  readonly client: readonly string[];
  readonly socket: string;
}
