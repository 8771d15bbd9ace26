/**
 * A node that asks its edge by its own line is answered by the tunnel, where forwards aim at the address it asks from. A strict check of the way back
 * in another's rules (firewalld's) on either end stops that: no plan is refused for it, and the guide says so.
 */
import type { Flow } from '../simulate/index.ts';

/** Whether this is what a host of ours, asking `edge`, died of. */
export const isStrictCheck = ({ from }: Flow, edge: string, reason: string | undefined): boolean =>
  from.kind === 'host' && from.host !== edge && /\bfib saddr\b.*\bmissing\b/.test(reason ?? '');
