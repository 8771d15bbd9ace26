/** Ports that rules on the way tell apart: of a forward, and those that clients ask from. */
import type { Interval } from '../net/index.ts';
import { dependsOnClient } from '../simulate/index.ts';
import { type Block, pieceAt, piecesOf } from './pieces.ts';
import type { Ground } from './promise.ts';
import { tellsAt } from './tells.ts';

/** A port that only few clients ask from. */
interface SourcePort {
  readonly sourcePort: number;
  readonly few: string;
}

export interface PortKinds {
  /** Where, in order, another kind of public port or of a target's begins. */
  readonly cuts: readonly number[];
  /** From where most clients ask; absent: as the model asks by itself. */
  readonly usual?: number;
  /** One of each other kind, where rules ask from where a client asks. */
  readonly sources: readonly SourcePort[];
  /** Where they meet that port in answers alone: it makes the same difference at all ports that are forwarded. */
  readonly answered: readonly SourcePort[];
  /** Ports that are alike are so for all clients. */
  readonly isAlike: boolean;
}

const ALL: Interval = { first: 1n, last: 65_535n };
/** Of the model (SOURCE_PORT). */
const BY_ITSELF = 40_000n;

/** Of the hosts on the way. */
export function portKindsAt(ground: Ground, hosts: readonly string[]): PortKinds {
  const key = hosts.join(' ');
  const known = ground.portKinds.get(key);
  if (known !== undefined) return known;
  const { ports, sourcePorts, answeredPorts } = tellsAt(ground, hosts);
  const usual = usualOf([...sourcePorts, ...answeredPorts]);
  const asks = sourcePorts.length > 0;
  const others = othersOf([...sourcePorts, ...answeredPorts], usual);
  const made: PortKinds = {
    cuts: piecesOf(ports, ALL).map(({ first }) => Number(first)),
    sources: asks ? others : [],
    answered: asks ? [] : others,
    isAlike: !dependsOnClient(ground.network, hosts),
    ...(usual !== BY_ITSELF && { usual: Number(usual) }),
  };
  ground.portKinds.set(key, made);
  return made;
}

/** One of the kind that is most of all ports. */
function usualOf(blocks: readonly Block[]): bigint {
  const pieces = piecesOf(blocks, ALL);
  const sizes = new Map<number, bigint>();
  for (const { kind, first, last } of pieces) sizes.set(kind, (sizes.get(kind) ?? 0n) + last - first + 1n);
  const own = pieces[pieceAt(pieces, BY_ITSELF)]?.kind;
  const [most] = [...sizes].sort(([, left], [, right]) => (left < right ? 1 : left > right ? -1 : 0));
  if (most === undefined || sizes.get(own ?? -1) === most[1]) return BY_ITSELF;
  return pieces.findLast(({ kind }) => kind === most[0])?.last ?? BY_ITSELF;
}

function othersOf(blocks: readonly Block[], usual: bigint): readonly SourcePort[] {
  const pieces = piecesOf(blocks, ALL);
  const seen = new Set([pieces[pieceAt(pieces, usual)]?.kind]);
  return pieces.flatMap(({ kind, first, last }) => {
    if (seen.has(kind)) return [];
    seen.add(kind);
    const more = pieces.filter((each) => each.kind === kind).length > 1 ? ' and others' : '';
    const few = first === last ? `port ${first}` : `ports ${first}-${last}`;
    return [{ sourcePort: Number(first), few: `from ${few}${more}` }];
  });
}
