import { ARM, BEAT, CONFIRM, IS_PENDING, PENDING, SETTLE, TAKE_BACK } from './arming-scripts.ts';
import { ASK_AROUND } from './check-around.ts';
import { GIVE_FREE, TAKE_OVER } from './lock.ts';

/** The texts of this room that a gate has, by name. */
export const APPLY_SCRIPTS = {
  ...{ ARM, BEAT, CONFIRM, IS_PENDING, PENDING, SETTLE, TAKE_BACK },
  ASK_AROUND,
  GIVE_FREE,
  TAKE_OVER,
} as const;
