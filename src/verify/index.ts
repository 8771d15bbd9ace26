export type { Holds, Promised } from './promise.ts';
export type { Planned } from './verify.ts';
export { verifyPlan } from './verify.ts';
