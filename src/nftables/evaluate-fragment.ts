/** Whether a packet is a part of one, and which. */
import type { PacketContext, Registers } from './evaluate-packet.ts';
import type { Expression } from './ruleset.ts';

type Binary = Pick<Extract<Expression, { readonly kind: 'binary' }>, 'operator' | 'left' | 'right'>;

/** `ip frag-off & 0x1fff`. What else of that field is asked for is not known. */
export const asksFragmentOffset = ({ operator, left, right }: Binary): boolean =>
  operator === '&' &&
  left.kind === 'payload' &&
  left.protocol === 'ip' &&
  left.field === 'frag-off' &&
  right.kind === 'number' &&
  right.value === 0x1fff;

/** Not zero in all fragments but the first; of IPv6 there is none here, and the rule ends. */
export const fragmentOffset = ({ packet: { family, fragment } }: Registers): readonly [number] | null =>
  family !== 4 ? null : [fragment === 'later' ? 1 : 0];

/** IPv6's fragment header, 44, stands before what the packet carries (RFC 8200, 4.5). */
export const nextHeader = ({ family, fragment, protocol }: PacketContext): number =>
  family === 6 && fragment !== undefined ? 44 : protocol;

/**
 * What is asked of a header of IPv6 between it and what it carries, of which packets here have none but the one of a fragment: `frag
 * frag-off 0`, or any other field. Null: there is no such header, and the rule ends. Undefined: not known.
 */
export function extensionHolds(
  name: unknown,
  field: unknown,
  op: unknown,
  right: unknown,
  { family, fragment }: PacketContext,
): boolean | null | undefined {
  if (family !== 6 || name !== 'frag' || fragment === undefined) return null;
  if (field !== 'frag-off' || right !== 0 || (op !== '==' && op !== '!=')) return undefined;
  return (fragment === 'first') === (op === '==');
}
