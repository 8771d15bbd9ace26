export { armHost, confirmAll, pendingCommand, printPending, readPending, settlePending } from './arming.ts';
export { type UndoText, undoText } from './arming-scripts.ts';
export { type CarryOutOptions, type Command, carryOut, needsWork } from './carry-out.ts';
export { aroundHost } from './check-around.ts';
export type { Witness } from './check-held.ts';
export type { ApplyOptions, Driver, Notice, Undo, UndoCommand } from './driver.ts';
export { ApplyError } from './driver.ts';
export {
  type HandshakeOptions,
  handshakesOf,
  type QuietOptions,
  untilHandshakes,
  untilQuiet,
  type WatchedLink,
} from './handshakes.ts';
export { APPLY_SCRIPTS } from './known-scripts.ts';
export { type Lock, LockHeld, lockHost } from './lock.ts';
export { type ManagedHost, type Observation, observeAll, reasonOf } from './observe.ts';
export {
  type Aim,
  type AimFor,
  directionOf,
  type HostAim,
  type HostPlan,
  type LeftHost,
  leftHosts,
  prepare,
  type SetPlan,
} from './prepare.ts';
export type { Progress } from './progress.ts';
