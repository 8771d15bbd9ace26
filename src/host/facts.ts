/** What is known of a host when resources are compiled for it. */
import type { Address } from '../net/index.ts';
import type { OuterKind } from '../routing/index.ts';
import type { PresharedKeyName, PublicKey } from '../wireguard/index.ts';
import type { Daemon, OtherInit } from './daemon-files.ts';
import type { HostRecord } from './record.ts';
import type { HostState } from './state.ts';

/** How the host can make a WireGuard link; `absent`: neither the kernel nor wireguard-go; `unknown`: nobody looked. */
export type WireGuardSupport = 'kernel' | 'userspace' | 'absent' | 'unknown';

export interface NamesOnHost {
  /** The host's clock when it looked, in seconds since the epoch. */
  readonly seconds: number;
  /** In the resolver's order of preference. A name that means nothing is not in it. */
  readonly meanings: ReadonlyMap<string, readonly Address[]>;
}

/** A change that the host takes back unless it is confirmed. */
export interface PendingChange {
  /** That the host has if it is confirmed. */
  readonly generation: number;
  /** Who began it: `apply by root, process 4711 on mars, since ...`. */
  readonly by: string;
}

export interface HostFacts {
  /** `declared`: made from the resource alone (`plan --offline`), nobody looked at the host. */
  readonly source: 'observed' | 'declared';
  /** Everything that stands on the host, other people's included. */
  readonly state: HostState;
  /** What an earlier apply left in the host's state folder; absent on a fresh host. */
  readonly record?: HostRecord;
  /** Why the record cannot be used: written by a newer Sallyport, or damaged. Every write is refused then. */
  readonly recordProblem?: string;
  /** What could not be read of the host though it stands there: plain sentences for the plan. */
  readonly notes?: readonly string[];
  /** The key of what its restore.sh brings back after a boot; absent where there is none, or it is damaged. */
  readonly restore?: string;
  /** What starts the host where that is not systemd; absent where it is, or nobody looked, or nobody knows. */
  readonly init?: OtherInit;
  /** Absent where no change is pending. */
  readonly pending?: PendingChange;
  /** Public keys of the key files in the state folder, by link name. */
  readonly keys: ReadonlyMap<string, PublicKey>;
  /** The preshared keys whose files are there and hold what their names say; absent: none. */
  readonly presharedKeys?: readonly PresharedKeyName[];
  /** When those keys were made, in seconds since the epoch by the host's clock; absent where nobody looked. */
  readonly keysMade?: ReadonlyMap<string, number>;
  /** What the names in the record's endpoints mean on the host now; absent where it has none. */
  readonly names?: NamesOnHost;
  /** Its clock less ours, in seconds; absent where it is the same one, or nobody looked. */
  readonly clockAheadSeconds?: number;
  /** The largest packets that were found to reach addresses, in bytes, by the address; absent where nothing was. The kernel forgets it after minutes. */
  readonly learntMtus?: ReadonlyMap<string, number>;
  /** Absent where nobody looked. `nft` and `iproute2` as [major, minor, patch]. */
  readonly versions?: {
    readonly kernel: string;
    readonly nft?: readonly number[];
    readonly iproute2?: readonly number[];
  };
  readonly wireguard: WireGuardSupport;
  /** Why tracked connections can be neither listed nor ended; absent where they can, or where nobody looked. */
  readonly noFlows?: string;
  readonly vxlan: 'kernel' | 'absent' | 'unknown';
  /** Kinds of links for IPIP and GRE that the kernel cannot make; absent where nobody looked, or it cannot be told. */
  readonly absentKinds?: readonly OuterKind[];
  /**
   * The kernel's fast path for connections: `forgetful` before Linux 5.14, where a connection that left it for being idle is forgotten after
   * two minutes; `unknown` where it could not be tried. Absent: nobody looked.
   */
  readonly flowtables?: 'kernel' | 'forgetful' | 'absent' | 'unknown';
  /** MemAvailable of /proc/meminfo. */
  readonly memoryAvailableBytes?: number;
  /** What runs there and is told of us by files; absent where nobody looked. */
  readonly daemons?: readonly Daemon[];
  /** /etc/sallyport, or /run/sallyport/netns/INODE (design.md, State). Absent where nobody looked. */
  readonly stateFolder?: string;
  /** The name of its network namespace, where it is one of `ip netns`. */
  readonly namespace?: string;
}
