/** What may be written into a packet's own headers: addresses and ports. */
import { ported } from './evaluate-expression.ts';
import type { PacketContext, Rewritten } from './evaluate-packet.ts';
import { addressOf, type Scalar } from './evaluate-value.ts';
import type { Expression } from './ruleset.ts';

export interface Writer {
  /** Whether the packet has the header. */
  readonly isIn: (packet: PacketContext) => boolean;
  readonly write: (value: Scalar | undefined, packet: PacketContext) => Rewritten | undefined;
}

/** Undefined for any other field. */
export function writerOf({ protocol, field }: Extract<Expression, { readonly kind: 'payload' }>): Writer | undefined {
  if (protocol === 'ip' || protocol === 'ip6') {
    if (field !== 'saddr' && field !== 'daddr') return undefined;
    return {
      isIn: ({ family }) => family === (protocol === 'ip' ? 4 : 6),
      write: (value, { family }) => {
        const address = addressOf(value, family);
        if (address === undefined) return undefined;
        return field === 'saddr' ? { source: address } : { destination: address };
      },
    };
  }
  const number = ported[protocol];
  if ((protocol !== 'th' && number === undefined) || (field !== 'sport' && field !== 'dport')) return undefined;
  return {
    isIn: (packet) => (protocol === 'th' ? packet.destinationPort !== undefined : packet.protocol === number),
    write: (value) => {
      if (typeof value !== 'number') return undefined;
      return field === 'sport' ? { sourcePort: value } : { destinationPort: value };
    },
  };
}
