/** The table's part for the kernel's fast path: what enters it, and who stays out. */
import type { ForwardShare } from '../host/index.ts';
import {
  address,
  and,
  anonymousSet,
  concat,
  ct,
  type Expression,
  type Flowtable,
  flowAdd,
  join,
  match,
  meta,
  type NamedSet,
  number,
  type Rule,
  rule,
  type SetElement,
  setReference,
  symbol,
  text,
} from '../nftables/index.ts';
import type { TableInput } from './table.ts';
import { ADDRESS_TYPE, goBack, isPorts, isRange, type Marks, portValue } from './table-words.ts';

interface FastPath {
  readonly flowtables: readonly Flowtable[];
  readonly sets: readonly NamedSet[];
  /** After every other chain at the hook: no packet enters that any of them refuses. */
  readonly rules: readonly Rule[];
}

/**
 * A connection that our DNAT made enters once it is established for good: TCP with its third packet, UDP after two seconds of question and
 * answer (`assured`, nf_conntrack_proto_udp.c). A client's packet brings it in: only that tells by which link it came.
 */
export function fastPath({ fastPath: devices, forwards, numbers }: TableInput, marks: Marks): FastPath {
  if (devices === undefined) return { flowtables: [], sets: [], rules: [] };
  const slow = slowSets(forwards.filter((forward) => forward.fastPath === false));
  const ours = match(
    and(ct('mark'), number(numbers.mark.mask)),
    '==',
    anonymousSet(number(marks.masqueraded), number(marks.forwarded)),
  );
  const asked = match(ct('direction'), '==', symbol('original'));
  return {
    flowtables: [{ name: 'sp_fast', priority: 0, devices, properties: ['counter'] }],
    sets: slow.map(({ set }) => set),
    rules: [
      ...slow.map(({ set, key }) => rule(ours, asked, isPorts, match(key, '==', setReference(set.name)), goBack)),
      rule(ours, asked, match(ct('status'), 'in', symbol('assured')), isPorts, flowAdd('sp_fast')),
    ],
  };
}

/** What the forwards that stay out were asked for, as it was before our DNAT; exact ports and ranges apart, as everywhere. */
function slowSets(forwards: readonly ForwardShare[]): readonly { readonly set: NamedSet; readonly key: Expression }[] {
  const sets = new Map<string, { readonly set: NamedSet; readonly key: Expression; readonly elements: SetElement[] }>();
  for (const { match: at, protocol, ports, to } of forwards) {
    const lease = 'interface' in at;
    const name = `sp_slow${lease ? '_lease' : ''}${to.family}${isRange(ports) ? 'r' : ''}`;
    const elements = sets.get(name)?.elements ?? [];
    elements.push({
      key: concat(lease ? text(at.interface) : address(at.address), symbol(protocol), portValue(ports)),
    });
    const where = lease ? meta('iifname') : ct(to.family === 4 ? 'ip daddr' : 'ip6 daddr', 'original');
    const type = [lease ? 'ifname' : ADDRESS_TYPE[to.family], 'inet_proto', 'inet_service'];
    sets.set(name, {
      set: { name, type, flags: isRange(ports) ? ['interval'] : [], elements },
      key: join(where, meta('l4proto'), ct('proto-dst', 'original')),
      elements,
    });
  }
  return [...sets.values()].sort((a, b) => (a.set.name < b.set.name ? -1 : 1));
}
