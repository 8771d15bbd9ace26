export type { AllowedIpClash } from './allowed-ips.ts';
export { allowedIpClashes, peerFor } from './allowed-ips.ts';
export { wgRemovePeerArguments, wgSetDeviceArguments, wgSetPeerArguments } from './arguments.ts';
export type { PendingKey, PublicKey, WireGuardDevice, WireGuardPeer } from './device.ts';
export { tunnelUp } from './handshake.ts';
export { isPendingKey, parsePublicKey, printKey, sameKey } from './key.ts';
export { wireguardMtu } from './mtu.ts';
export { DUMP_COMMAND, readDump } from './read-dump.ts';
