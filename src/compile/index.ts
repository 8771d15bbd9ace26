export type { Compiled, CompiledHost, CompileOptions } from './compile.ts';
export { compile, compileRemoval } from './compile.ts';
export { declaredFacts } from './declared.ts';
export type { HandedConnection } from './hand-over.ts';
export { handedOver, markFor } from './hand-over.ts';
export { fnv1a } from './names.ts';
export { podTableName } from './pod-table.ts';
export type { PodFacts, PodOptions, PodTunnel } from './pod-tunnel.ts';
export { compileMend, compilePodTunnel, POD_NUMBERS, POD_PROTOCOL } from './pod-tunnel.ts';
export type { TargetHealth, TargetProbe } from './probe.ts';
export {
  compileRotation,
  nextKey,
  type RotatedHost,
  type RotatingEnd,
  type RotatingLink,
  rotatingLinks,
} from './rotate.ts';
export { type RotatingEnds, rotatingEnds, standingAim } from './rotate-ends.ts';
export { whoHasPort } from './rotate-port.ts';
export { targetFor } from './spread.ts';
export { connectionMarks } from './table-words.ts';
export type { PublicAddress } from './view.ts';
export { viewHost } from './view.ts';
