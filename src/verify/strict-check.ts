/**
 * A node that asks its edge by its own line is answered by the tunnel, where forwards aim at the address it asks from. A strict check of the way back
 * in another's rules (firewalld's) on either end stops that: no plan is refused for it, and the guide says so.
 */
import type { Rule, Statement } from '../nftables/index.ts';
import type { Flow, Trace } from '../simulate/index.ts';

/** Whether this is what the flow of a host of ours, asking `edge`, died of. */
export function isStrictCheck({ from }: Flow, edge: string, { request, reply, next }: Trace): boolean {
  const { cause } = next ?? reply ?? request;
  return from.kind === 'host' && from.host !== edge && cause?.kind === 'rule' && asksForWayBack(cause.at.rule);
}

/** `fib saddr . mark . iif oif missing`, and as iptables' rpfilter has it. */
const asksForWayBack = (rule: Rule | undefined): boolean => rule?.statements.some(isMissingWay) === true;

const isMissingWay = (statement: Statement): boolean =>
  statement.kind === 'match' &&
  statement.left.kind === 'fib' &&
  statement.left.flags.includes('saddr') &&
  statement.left.result !== 'type' &&
  statement.right.kind === 'symbol' &&
  statement.right.name === (statement.op === '!=' ? 'exists' : 'missing');
