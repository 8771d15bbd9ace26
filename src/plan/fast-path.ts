/**
 * The flowtable of our table, in three parts of a plan. It names devices, and the kernel takes none that is not there: it lets go of them
 * before links are removed, and gets them after links are added, so that a plan undone finds each device there too.
 */
import {
  addsFlows,
  diffTable,
  type Flowtable,
  type RulesetChange,
  type Table,
  withFlowtables,
} from '../nftables/index.ts';

export interface TableChanges {
  /** Before links go. */
  readonly first: readonly RulesetChange[];
  readonly main: readonly RulesetChange[];
  /** Once all links are there. */
  readonly last: readonly RulesetChange[];
}

/** The changes from one table to another on a host on which the links `gone` are removed, though others of their names may come. */
export function tableChanges(
  before: Table | undefined,
  after: Table | undefined,
  gone: ReadonlySet<string>,
): TableChanges {
  const stays = before && withFlowtables(before, lasting(before, after, gone));
  const comes = after && withFlowtables(after, stays?.flowtables ?? []);
  const first = diffTable(before && shell(before), stays && shell(stays));
  const main = diffTable(stays, comes);
  return {
    first,
    main: [...main, ...emptied(main, comes)],
    last: diffTable(comes && shell(comes), after && shell(after)),
  };
}

/** What of the flowtables is to be on both sides, with the devices that are there all the time. */
function lasting(before: Table, after: Table | undefined, gone: ReadonlySet<string>): readonly Flowtable[] {
  const wanted = new Map((after?.flowtables ?? []).map((each) => [each.name, each]));
  return (before.flowtables ?? []).flatMap((each) => {
    const next = wanted.get(each.name);
    if (next === undefined || next.priority !== each.priority) return [];
    const devices = each.devices.filter((device) => next.devices.includes(device) && !gone.has(device));
    return [{ ...next, devices }];
  });
}

/** Its chains and flowtables: all that differs between two steps of one table. */
const shell = (table: Table): Table => ({ ...table, sets: [], maps: [], opaque: [] });

/** Sets of those that stay out of the fast path, by the names that `compile` gives. */
const STAYS_OUT = /^sp_slow/;

/** Who is to stay out from now on may be in: the flowtable becomes another of the same name, and who may be in it finds in again. */
function emptied(changes: readonly RulesetChange[], table: Table | undefined): readonly RulesetChange[] {
  const asks = changes.some(
    (change) => change.action === 'add' && change.after.kind === 'setElement' && STAYS_OUT.test(change.after.set),
  );
  if (!asks || table === undefined) return [];
  const place = { family: table.family, table: table.name };
  const changed = new Set(
    changes.flatMap((each) => (each.action !== 'remove' && each.after.kind === 'chain' ? [each.after.chain.name] : [])),
  );
  const adding = table.chains.filter((chain) => !changed.has(chain.name) && addsFlows(chain));
  return [
    ...(table.flowtables ?? []).map((flowtable) => ({ kind: 'flowtable', ...place, flowtable }) as const),
    ...adding.map((chain) => ({ kind: 'chain', ...place, chain }) as const),
  ].map((object): RulesetChange => ({ action: 'change', before: object, after: object }));
}
