export type { AllowedIpClash } from './allowed-ips.ts';
export { allowedIpClashes, peerFor } from './allowed-ips.ts';
export { wgRemovePeerArguments, wgSetDeviceArguments, wgSetPeerArguments } from './arguments.ts';
export type { PendingKey, PublicKey, WireGuardDevice, WireGuardPeer } from './device.ts';
export { tunnelUp } from './handshake.ts';
export type { HealthPolicy, TunnelHealth, TunnelSight } from './health.ts';
export { LEAST_MAX_AGE_SECONDS, tunnelHealth } from './health.ts';
export { isPendingKey, parsePublicKey, printKey, sameKey } from './key.ts';
export { wireguardMtu } from './mtu.ts';
export type { PresharedKey, PresharedKeyName } from './preshared.ts';
export {
  isNamedFor,
  namePresharedKey,
  parsePresharedKeyName,
  presharedKeysDiffer,
  presharedKeyText,
  printPresharedKey,
  tunnelOfPresharedKey,
} from './preshared.ts';
export type { Hook, KeySource, QuickFile, QuickInterface, QuickPeer, QuickProblem } from './quick-file.ts';
export type { WgConfiguration } from './quick-print.ts';
export { printQuickFile, printWgConfiguration } from './quick-print.ts';
export { readQuickFile } from './quick-read.ts';
export { DUMP_COMMAND, readDump } from './read-dump.ts';
