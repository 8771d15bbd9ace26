export type { Sightings } from './future.ts';
export { futureNetwork, liveNetwork } from './future.ts';
export type { Prediction, Probe } from './probe.ts';
export { predict, probesOf } from './probe.ts';
export type { Holds, Promised } from './promise.ts';
export type { Planned } from './verify.ts';
export { tunnelsStopped, verifyPlan } from './verify.ts';
