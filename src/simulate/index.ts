export type { Expectation } from './alike.ts';
export { dependsOnClient, portClass } from './alike.ts';
export type { ChanceTrace, Draws } from './chance.ts';
export { simulateAll, startDraws } from './chance.ts';
export { endMasqueraded } from './connections.ts';
export type { Cause } from './fix.ts';
export { printFlow } from './flow-packet.ts';
export { findTunnels } from './found-tunnels.ts';
export { withKernelDefaults, withKernelRoutes } from './kernel-made.ts';
export type {
  HostInput,
  Network,
  OpenAddress,
  SimulatedHost,
  Socket,
  TunnelInput,
  TunnelPlug,
  Wires,
} from './network.ts';
export { buildNetwork, isOverlay, openAt, withEntries } from './network.ts';
export type { Notice } from './notice.ts';
export type { Packet } from './packet.ts';
export { printEnd, printPacket } from './packet.ts';
export type { TraceReport, WayReport } from './report.ts';
export { MAYBE, reportTrace, shownRequest } from './report.ts';
export type { WideSegments } from './segments.ts';
export { largestPackets, wideSegments } from './segments.ts';
export type { Connections, SimulateOptions } from './simulate.ts';
export { simulate } from './simulate.ts';
export type { StandingFlow } from './standing.ts';
export { amongStanding } from './standing.ts';
export type { Crossed, Ending, Flow, Hop, Origin, Trace, Way } from './trace.ts';
export { hidesRouter } from './trace.ts';
export type { WiredHost } from './wiring.ts';
export { wireHosts } from './wiring.ts';
