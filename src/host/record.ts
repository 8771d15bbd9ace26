/**
 * What Sallyport keeps on a host: which sets ask what of it, the numbers chosen for it, and how its sysctls were before us.
 * Written before the first change, so that a crash at any step leaves enough to go on or to go back.
 */
import type { HostShare } from './share.ts';

/** Raised when the meaning of the record changes. Older is migrated at apply; newer refuses every write. */
export const RECORD_FORMAT = 2;

export interface HostRecord {
  readonly format: number;
  /** The Sallyport that wrote it, for messages. */
  readonly version: string;
  /** Counts the changes of what is asked of the host, from 1; absent where it was written before that was counted. A repair is none. */
  readonly generation?: number;
  /** By set name; `default` where none was named. */
  readonly sets: ReadonlyMap<string, HostShare>;
  readonly numbers: HostNumbers;
  /** Sysctl path to the value before our first write. */
  readonly sysctlsBefore: ReadonlyMap<string, string>;
}

/** Numbers chosen from what was free on the host at the first apply, and kept from then on. */
export interface HostNumbers {
  /** The bits of packet and connection marks that are ours, and the lowest of them. */
  readonly mark: { readonly value: number; readonly mask: number };
  /** Priority of `lookup main suppress_prefixlength 0`. */
  readonly suppressPriority: number;
  /** By `SET/TUNNEL`: the mark's index (1, 2, ...), which is the zone too, and the table and rule of its way back. */
  readonly tunnels: ReadonlyMap<string, { readonly index: number; readonly table: number; readonly priority: number }>;
}
