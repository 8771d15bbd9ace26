import { type HostFacts, isOwnTable } from '../host/index.ts';
import type { Expression } from '../nftables/index.ts';

/**
 * Whether a rule of others asks, by the packet's mark, if an answer would leave by the link it came by, as firewalld's IPv6_rpfilter does:
 * what comes by a tunnel passes where it bears the mark of its answers.
 */
export const asksBack = ({ state }: HostFacts): boolean =>
  state.tables.some(
    (table) =>
      !isOwnTable(table) &&
      table.chains.some(({ rules }) =>
        rules.some(({ statements }) => statements.some((each) => each.kind === 'match' && isReversePath(each.left))),
      ),
  );

const isReversePath = (of: Expression): boolean =>
  of.kind === 'fib' && of.result !== 'type' && ['saddr', 'mark', 'iif'].every((flag) => of.flags.includes(flag));
