export type { Change, HostChange, HostObject } from '../host/index.ts';
export { undo } from '../host/index.ts';
export type { ChangeDescription } from './describe.ts';
export { describeChange } from './describe.ts';
export { type Flow, type FlowsOfForward, flowsOfFew, type MovedFlows, mayEndTcp, staleFlows } from './flows.ts';
export { carriedOut, isMade, unmade } from './mend.ts';
export type { Desired } from './order.ts';
export { planHost } from './order.ts';
export { standing } from './standing.ts';
