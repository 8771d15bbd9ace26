import type { Guard } from './guard.ts';

/** How a command gets to a host and its output back. Commands are argument vectors and stdin, never a line for a shell. */
export interface Command {
  readonly argv: readonly string[];
  /** Carried out only while the host is armed for the change that it is part of. */
  readonly guard?: Guard;
  readonly stdin?: string;
  /** The whole command, in milliseconds; it and its children are killed then. Default 30,000. */
  readonly timeoutMs?: number;
  /** For `run`: the command is started at once and gets stdin when this has come true; where it does not, it gets none and is ended, and the error thrown. */
  readonly after?: Promise<unknown>;
}

export interface Output {
  readonly stdout: string;
  readonly stderr: string;
  /** Exit status; 128 + signal where a signal ended it. */
  readonly status: number;
}

/** `standing`: what is thought to stand there, of which a long text may be made. */
export interface WriteOptions {
  readonly standing?: string | undefined;
  /** As a command's. */
  readonly guard?: Guard | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Transport {
  /** For messages: `edge`. */
  readonly host: string;
  /** The name of the network namespace it enters; absent where it enters none. */
  readonly namespace?: string;
  /** Which run of which kernel, where that is known: numbers of links and namespaces mean nothing to another's. */
  readonly kernel?: string;
  /** The clock there less ours, in seconds; absent where it is the same one. */
  clockAhead?(): Promise<number>;
  /** Runs one command and gives its output whatever its status. Throws a TransportError where the host cannot be reached, the program does not exist, or time is up. */
  run(command: Command, signal?: AbortSignal): Promise<Output>;
  /** Runs several independent commands in as few round trips as the transport can; outputs in the order given. A missing program is status 127 here. */
  runAll(commands: readonly Command[], signal?: AbortSignal): Promise<readonly Output[]>;
  /**
   * Runs a command that goes on, and gives each line of its stdout as it comes. Its stdin is open for as long as somebody listens, and brings
   * nothing: the command is to end with that, as `whileHeard` makes any. Comes back when it has ended by itself, with its status and the last of
   * its stderr; throws the reason of `signal`, or a TransportError where it cannot be run or the connection is lost.
   */
  follow(
    argv: readonly string[],
    onLine: (line: string) => void,
    signal: AbortSignal,
  ): Promise<Pick<Output, 'status' | 'stderr'>>;
  /** The whole text of a file, or undefined where there is none. */
  readFile(path: string, signal?: AbortSignal): Promise<string | undefined>;
  /**
   * Puts a file whole or not at all (temporary file, fsync, rename), its folder made 0700 where missing. `standing` is what is thought to
   * stand there: where it does, of a long text only what differs is sent.
   */
  writeFile(path: string, content: string, mode: number, options?: WriteOptions): Promise<void>;
  removeFile(path: string, signal?: AbortSignal): Promise<void>;
  /** Where state lies on this host: /etc/sallyport, or /run/sallyport/netns/INODE for a namespace that is not PID 1's. */
  stateFolder(signal?: AbortSignal): Promise<string>;
  /** The same host by a connection of its own, made anew from the first packet on; absent where there is none to be made. */
  anew?(): OwnConnection;
}

/** A transport by a connection that ends with `close`. */
export interface OwnConnection {
  readonly transport: Transport;
  close(): void;
}

/** The host did not answer, or a command could not be run there: `host: what`, with the command and its stderr. */
export class TransportError extends Error {
  readonly host: string;
  readonly argv: readonly string[];
  constructor(host: string, argv: readonly string[], what: string, options?: ErrorOptions) {
    super(`${host}: ${what}`, options);
    this.name = 'TransportError';
    this.host = host;
    this.argv = argv;
  }
}
