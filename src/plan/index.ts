export type { Change } from './change.ts';
export { undo } from './change.ts';
export type { ChangeDescription } from './describe.ts';
export { describeChange } from './describe.ts';
export { type Flow, type FlowsOfForward, flowsOfFew, type MovedFlows, mayEndTcp, staleFlows } from './flows.ts';
export type { HostChange, HostObject } from './object.ts';
export type { Desired } from './order.ts';
export { planHost } from './order.ts';
