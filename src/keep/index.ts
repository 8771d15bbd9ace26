export { backoff, type Look, lookWithin, repairDelay, restAfter } from './pace.ts';
export type { HealthRules, TargetState } from './target.ts';
export { choose, holdDownOf, judge, MOST_HOLDS, startTarget } from './target.ts';
