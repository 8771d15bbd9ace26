/** What a host brings back by itself after a boot: a file of the state folder, written anew whenever something else is to stand there. */
import { fnv1a } from '../compile/index.ts';
import {
  add,
  type HostChange,
  type HostFacts,
  type HostObject,
  type HostRecord,
  type HostState,
  ownState,
  remove,
} from '../host/index.ts';
import { diffTable, printTransaction } from '../nftables/index.ts';

const RESTORE = 'restore.sh';

/** `others`: all other changes of the plan. Its text is made by who writes it: of fifty thousand forwards it is three megabytes. */
export function diffRestore(
  facts: HostFacts,
  { state, record }: { readonly state: HostState; readonly record?: HostRecord },
  others: readonly HostChange[],
): readonly HostChange[] {
  const path = `${facts.stateFolder ?? '/etc/sallyport'}/${RESTORE}`;
  const before: HostObject = { kind: 'restore', path, state: standing(facts) };
  if (record === undefined) return facts.restore === undefined ? [] : [remove(before)];
  const after: HostObject = { kind: 'restore', path, state };
  if (facts.restore === undefined) return [add(after)];
  // Nothing else to do: what was written with it stands. A repair asks for nothing that was not asked before.
  if (others.length === 0) return [];
  if (!others.some(isOfRecord) && restoreKey(state) === facts.restore) return [];
  return [{ action: 'change', before, after }];
}

const isOfRecord = (change: HostChange): boolean =>
  change.action !== 'remove' && change.after.kind === 'file' && change.after.path.endsWith('/record.json');

/** What stands of ours: the settings that the record says we changed among it. */
function standing({ state, record }: HostFacts): HostState {
  const sysctls = [...(record?.sysctlsBefore.keys() ?? [])].flatMap((path) => {
    const value = state.sysctls.get(path);
    return value === undefined ? [] : [[path, value] as const];
  });
  return { ...ownState(state), sysctls: new Map(sysctls) };
}

/** Tells what is to be restored from anything else, in few letters. */
export function restoreKey({ tables, sysctls, files: _, ...rest }: HostState): string {
  const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}n` : value);
  const text = `${printTransaction(diffTable(undefined, tables[0]))}${JSON.stringify([...sysctls])}${JSON.stringify(rest, plain)}`;
  return fnv1a(text).toString(36);
}
