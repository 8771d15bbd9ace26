/** What a thing that can be programmed must offer. Implemented in drivers/, one folder each. */
import type { HostFacts } from '../host/index.ts';
import type { HostChange } from '../plan/index.ts';
import type { Guard } from '../transport/index.ts';
import type { PresharedKeyName, PublicKey } from '../wireguard/index.ts';

export interface Driver {
  /** Reads, never writes. What it cannot parse comes back as opaque. Throws a TransportError when the host does not answer. */
  observe(signal: AbortSignal): Promise<HostFacts>;
  /**
   * Calls `onNotice` once it listens, and for each change from then on that the host tells of. Comes back, or throws, when it can listen no
   * longer: the connection was lost, or `signal` is aborted.
   */
  watch(onNotice: (notice: Notice) => void, signal: AbortSignal): Promise<void>;
  /** Makes a private key on the host for each link that has none yet (mode 0600, kept) and gives the public keys of all of them. */
  makeKeys(links: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, PublicKey>>;
  /** Lays a preshared key beside the others (mode 0600), under its name. `text` is what its file holds. */
  takePresharedKey(name: PresharedKeyName, text: string, signal: AbortSignal): Promise<void>;
  /**
   * Carries out exactly these changes, in this order; all changes to our nft table are one transaction. The deciding was done before.
   * Throws an ApplyError that holds the changes carried out so far.
   */
  apply(changes: readonly HostChange[], options: ApplyOptions): Promise<void>;
  /** What takes `changes` back on the host itself, without us. `facts` are those that the changes were planned from. */
  undo(changes: readonly HostChange[], facts: HostFacts, signal: AbortSignal): Promise<Undo>;
  /** Removes private and preshared keys that are in no use: made for an exchange that came to its end, or never did. Nothing where a change is pending. */
  forgetKeys(signal: AbortSignal): Promise<void>;
  /** Removes the state folder with keys and record: the last step of destroy, when nothing of ours is left on the host. */
  forget(signal: AbortSignal): Promise<void>;
  /** The same after a change that did not come about, and nothing where a record stands. It needs no place on a disk. */
  forgetUnrecorded(signal: AbortSignal): Promise<void>;
}

/** What a host tells of by itself. `by`: the process that made the last change of the ruleset, where it is known. */
export type Notice =
  | { readonly kind: 'listening' | 'network' | 'settings' | 'peers' }
  | { readonly kind: 'ruleset'; readonly by?: { readonly pid: number; readonly name: string } };

/** A command for the host's own shell. */
export interface UndoCommand {
  readonly argv: readonly string[];
  readonly stdin?: string;
  /** It may find that it is so already, and says so: by `ip` or `wg`, whose words for that are known. */
  readonly mild?: true;
}

/** The way back from the steps of one `apply`. */
export interface Undo {
  /** By the number of the step that it takes back, from 1; the last first. Those of a step that never began are left out. */
  readonly steps: readonly {
    readonly step: number;
    readonly commands: readonly UndoCommand[];
    /** What it takes back is there after a boot. */
    readonly lasts?: true;
  }[];
  /** Files that are put back as they stood, or removed where there was none, after all that. */
  readonly files: readonly string[];
  /** How many steps there are, those with no way back too. */
  readonly count: number;
}

export interface ApplyOptions {
  readonly signal: AbortSignal;
  /** The host is armed for these very changes: what comes after it was taken back is refused. */
  readonly armed?: Omit<Guard, 'step'>;
  /** How many steps of what the host is armed for come before these. */
  readonly after?: number;
  /** Called after each step that stands: for progress, and for tests that kill us there. */
  readonly onStep?: (step: string) => void;
}

/** A change the host refused: `done` holds what was carried out before it, in order. */
export class ApplyError extends Error {
  readonly done: readonly HostChange[];
  constructor(message: string, done: readonly HostChange[], options?: ErrorOptions) {
    super(message, options);
    this.name = 'ApplyError';
    this.done = done;
  }
}
