/** In which order chains of one hook run, where that is not known. */
import type { BaseChain, Table } from './ruleset.ts';

/**
 * The chains as they run if, of equal priority, those of iptables' older kind come before the others instead of after them: the kernel
 * runs the one registered last first (nf_hook_entries_grow), and no listing tells when an older one was. Undefined where there is
 * no such pair.
 */
export function otherOrder<Chain extends { readonly base: BaseChain; readonly table: Table }>(
  chains: readonly Chain[],
): readonly Chain[] | undefined {
  const isOld = ({ table }: Chain): boolean => table.origin === 'iptables-legacy';
  const isDoubtful = chains.some(
    (chain) => isOld(chain) && chains.some((other) => !isOld(other) && other.base.priority === chain.base.priority),
  );
  if (!isDoubtful) return undefined;
  const olderFirst = (of: readonly Chain[]): readonly Chain[] =>
    of.toSorted(
      (left, right) => left.base.priority - right.base.priority || Number(isOld(right)) - Number(isOld(left)),
    );
  const first = olderFirst(chains);
  const isSame = first.every((chain, index) => chain === chains[index]);
  if (!isSame) return first;
  return chains.toSorted(
    (left, right) => left.base.priority - right.base.priority || Number(isOld(left)) - Number(isOld(right)),
  );
}
