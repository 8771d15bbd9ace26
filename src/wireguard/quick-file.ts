/** A wg-quick file (wg-quick(8), wg(8) CONFIGURATION FILE FORMAT) as data. */
import type { Address, Endpoint, InterfaceAddress, Prefix } from '../net/index.ts';
import type { PublicKey } from './device.ts';

/** A key that must not be seen: neither JSON nor a template string shows it. */
export interface Secret {
  readonly reveal: () => string;
}

/** Where a private or preshared key is: in the file itself, or in one of its own. */
export type KeySource =
  | { readonly kind: 'inline'; readonly key: Secret }
  | { readonly kind: 'file'; readonly path: string };

/** What wg-quick runs in a shell, `%i` not yet replaced. */
export const HOOKS = ['PreUp', 'PostUp', 'PreDown', 'PostDown'] as const;
export type Hook = (typeof HOOKS)[number];

export interface QuickInterface {
  readonly privateKey?: KeySource;
  readonly listenPort?: number;
  /** Mark of the encrypted packets; absent: wg-quick chooses one where it needs one. 0: none (`off`). */
  readonly firewallMark?: number;
  readonly addresses: readonly InterfaceAddress[];
  readonly dns: readonly Address[];
  readonly searchDomains: readonly string[];
  readonly mtu?: number;
  /** Where routes to allowed IPs go: `auto` is main, and for a default route a table of its own. */
  readonly table: 'auto' | 'off' | number;
  readonly hooks: readonly { readonly at: Hook; readonly command: string; readonly line: number }[];
  readonly saveConfig: boolean;
}

export interface QuickPeer {
  readonly publicKey: PublicKey;
  readonly presharedKey?: KeySource;
  readonly allowedIps: readonly Prefix[];
  readonly endpoint?: Endpoint;
  /** 0: off. */
  readonly keepaliveSeconds?: number;
}

export interface QuickFile {
  readonly interface: QuickInterface;
  readonly peers: readonly QuickPeer[];
}

/** What is wrong in a file, and where: lines and columns from 1. */
export interface QuickProblem {
  readonly line: number;
  readonly column: number;
  /** `[Interface] MTU`, or the line's own word. */
  readonly path: string;
  readonly what: string;
  readonly meant?: string;
  /** The keys that the section has, where it has not this one. */
  readonly known?: readonly string[];
}
