export { withHostKey } from './host-key.ts';
export type { Loaded } from './load.ts';
export { loadResources } from './load.ts';
export { nearest } from './nearest.ts';
export type { Position, Problem, ProblemCode } from './problem.ts';
export { compareProblems, printPosition, printProblem } from './problem.ts';
export type { SourceText } from './read.ts';
export { printReference } from './reference.ts';
export type {
  Access,
  DeclaredInterface,
  EgressRouteResource,
  Forwarding,
  HostResource,
  NumberRange,
  OutsideAddress,
  PortForwardResource,
  PortMapping,
  Resource,
  ResourceSet,
  Target,
  TunnelEnd,
  TunnelResource,
  TunnelType,
} from './resource.ts';
