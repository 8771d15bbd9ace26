/** What a thing that can be programmed must offer. Implemented in drivers/, one folder each. */
import type { HostFacts } from '../host/index.ts';
import type { HostChange } from '../plan/index.ts';
import type { PublicKey } from '../wireguard/index.ts';

export interface Driver {
  /** Reads, never writes. What it cannot parse comes back as opaque. Throws a TransportError when the host does not answer. */
  observe(signal: AbortSignal): Promise<HostFacts>;
  /** Makes a private key on the host for each link that has none yet (mode 0600, kept) and gives the public keys of all of them. */
  makeKeys(links: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, PublicKey>>;
  /**
   * Carries out exactly these changes, in this order; all changes to our nft table are one transaction. The deciding was done before.
   * Throws an ApplyError that holds the changes carried out so far.
   */
  apply(changes: readonly HostChange[], options: ApplyOptions): Promise<void>;
  /** Removes the state folder with keys and record: the last step of destroy, when nothing of ours is left on the host. */
  forget(signal: AbortSignal): Promise<void>;
}

export interface ApplyOptions {
  readonly signal: AbortSignal;
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
