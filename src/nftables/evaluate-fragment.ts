/** Whether a packet is a part of one, and which. */
import type { Registers } from './evaluate-packet.ts';
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

/** Not zero in all fragments but the first; of IPv6 there is none, and the rule ends. */
export const fragmentOffset = ({ packet: { family, laterFragment } }: Registers): readonly [number] | null =>
  family !== 4 ? null : [laterFragment === true ? 1 : 0];
