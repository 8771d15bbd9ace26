/** What a host says of itself beside its facts, when `doctor` looks. Absent is what could not be read. */
import type { HostFacts } from '../../host/index.ts';
import type { Address, Prefix } from '../../net/index.ts';
import type { Network, SimulatedHost, Socket } from '../../simulate/index.ts';

/** One end of a conntrack entry, as `conntrack -L` prints it. */
export interface EntryTuple {
  readonly source: Address;
  readonly destination: Address;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface Entry {
  readonly protocol: 'tcp' | 'udp';
  /** Of TCP: `SYN_SENT`, `SYN_RECV`, `ESTABLISHED`, ... */
  readonly state?: string;
  readonly original: EntryTuple;
  readonly reply: EntryTuple;
  readonly unreplied: boolean;
  readonly assured: boolean;
  readonly mark: number;
  /** The line. */
  readonly text: string;
}

/** A TCP connection that was asked for, answered, and never confirmed (SYN_RECV in /proc/net/tcp). */
export interface HalfOpen {
  readonly local: Address;
  readonly port: number;
  readonly remote: Address;
}

/** A file of wg-quick's, without its keys but the public ones of peers. */
export interface WireGuardFile {
  readonly link: string;
  readonly path: string;
  readonly tableOff: boolean;
  readonly peers: readonly {
    readonly publicKey: string;
    readonly allowedIps: readonly Prefix[];
    /** As it is written, with its port. */
    readonly endpoint?: string;
    /** What the host's own resolver says its name means now; absent for an address, empty where it says nothing. */
    readonly meanings?: readonly Address[];
  }[];
}

/** Echo requests that may not be fragmented, to the endpoint of a peer: as large as the link's own packets get, and small. */
export interface PathProbe {
  readonly link: string;
  readonly endpoint: Address;
  readonly mtu: number;
  readonly outerBytes: number;
  readonly small: boolean;
  readonly large: boolean;
  /** What `ping` said of the large ones, where some router told. */
  readonly told?: string;
}

export interface SettingSaid {
  readonly at: string;
  readonly key: string;
  readonly path: string;
  readonly value: string;
}

export interface Looks {
  readonly entries?: readonly Entry[];
  readonly halfOpen?: readonly HalfOpen[];
  /** TcpExtIPReversePathFilter. */
  readonly reversePathDrops?: number;
  /** Of `conntrack -S`, all processors together. */
  readonly conntrackStats?: Readonly<Record<string, number>>;
  readonly wireguardFiles?: readonly WireGuardFile[];
  readonly probes?: readonly PathProbe[];
  readonly sysctlsWritable?: boolean;
  /** Whether wg-quick reads src_valid_mark before it writes it; Debian's does not. */
  readonly wgQuickAsksFirst?: boolean;
  /** Lines of files that are loaded by a reload and flush everything: `/etc/nftables.conf:3: flush ruleset`. */
  readonly flushes?: readonly string[];
  /** Lines of networkd.conf and its drop-ins that say ManageForeign…. */
  readonly networkdSays?: readonly string[];
  /** Seconds since the epoch, by the host's clock. */
  readonly nowSeconds?: number;
}

export interface Patient {
  readonly host: string;
  readonly facts: HostFacts;
  /** The host as the model has it, in the network of all hosts that were looked at. */
  readonly simulated: SimulatedHost;
  readonly network: Network;
  readonly sockets?: readonly Socket[];
  readonly looks: Looks;
  /** Lines of sysctl files. */
  readonly settings: readonly SettingSaid[];
}
