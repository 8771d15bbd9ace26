/** Another's strict check of the way back refuses no plan, whoever wrote it down how; another rule in its place does. */
import { describe, expect, test } from 'vitest';
import {
  baseChain,
  drop,
  fib,
  match,
  payload,
  prefix,
  type Rule,
  rule,
  type Statement,
  symbol,
  type Table,
} from '../nftables/index.ts';
import { type Promised, verifyPlan } from './index.ts';
import { planned } from './testdata/plan.ts';
import { at, edge, node, SLIM_EDGE, WEB } from './testdata/sketch.ts';

const guard = (own: Rule, origin?: Table['origin']): Table => ({
  ...{ family: 'ip6', name: 'raw', sets: [], maps: [], opaque: [], ...(origin && { origin }) },
  chains: [baseChain('PREROUTING', { type: 'filter', hook: 'prerouting', priority: -300 }, own)],
});

const verified = (table: Table): readonly Promised[] =>
  verifyPlan(planned(SLIM_EDGE + WEB, { edge: edge({ tables: [table] }), node: node() }));
const broken = (table: Table) => verified(table).flatMap(({ promise, holds }) => (holds === false ? [promise] : []));

const missing = match(fib('oif', 'saddr', 'mark', 'iif'), '==', symbol('missing'));
const text = '-A PREROUTING -m rpfilter --validmark --invert -j DROP';
/** From whom the node asks. */
const fromNode: Statement = match(
  payload('ip6', 'saddr'),
  '==',
  prefix({ address: at('2001:db8:1::20'), length: 128 }),
);

describe('what a node asks of its edge by its own line, and is answered by the tunnel', () => {
  for (const [what, table] of [
    ["firewalld's check", guard(rule(missing, drop))],
    [
      'the same, said the other way round',
      guard(rule(match(fib('oif', 'saddr', 'iif'), '!=', symbol('exists')), drop)),
    ],
    ["iptables' rpfilter, in the words of iptables-save", guard({ ...rule(missing, drop), text }, 'iptables-legacy')],
  ] as const)
    test(`may die of ${what}`, () => expect(broken(table)).toEqual([]));

  test('may not die of a rule that is none, with the words of one beside it', () => {
    const other = { ...rule(fromNode, drop), comment: 'instead of fib saddr . iif oif missing' };
    expect(broken(guard(other))).toEqual(["reachable from edge itself and from the target's network"]);
  });
});

test('a stranger may not die of it', () => {
  const anybody = guard(rule(match(fib('oif', 'saddr', 'iif'), '==', symbol('exists')), drop));
  expect(broken(anybody)[0]).toMatch(/^reachable from outside/);
});
