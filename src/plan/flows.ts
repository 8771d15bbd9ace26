/** Connections that the kernel still sends where a forward no longer leads: which of them end when the table changes. */
import { connectionMarks, targetFor } from '../compile/index.ts';
import type { ForwardShare, HostChange, HostFacts, HostObject, HostRecord } from '../host/index.ts';
import { type Address, type Family, printAddress, sameAddress, type Transport } from '../net/index.ts';
import { printElement } from '../nftables/index.ts';

/** A tracked connection: who asked what, who answers. */
export interface Flow {
  readonly protocol: Transport;
  readonly client: Address;
  readonly clientPort: number;
  readonly asked: Address;
  readonly askedPort: number;
  /** The source of the answers: the target. */
  readonly target: Address;
  readonly targetPort: number;
  /** The connection mark. */
  readonly mark: number;
  /** Its answers go to another address than the client's. */
  readonly hidden?: true;
  /** In the kernel's flowtable. */
  readonly offloaded?: boolean;
}

export type MovedFlows = Extract<HostObject, { readonly kind: 'flows' }>;

/** Where the table translates, by the names that `compile` gives. Elements of other maps say who may come in, and move nobody. */
const TRANSLATES = /^sp_(?:to|hide|spread)/;

/** After a change of the table: the flows to look through, where something that stood there goes or leads elsewhere. */
export function flowChanges(
  facts: HostFacts,
  record: HostRecord | undefined,
  tables: readonly HostChange[],
): readonly HostChange[] {
  const known = facts.record ?? record;
  const forwardsOf = (of: HostRecord | undefined): readonly ForwardShare[] => {
    const [first, ...others] = [...(of?.sets.values() ?? [])].map(({ forwards }) => forwards);
    return others.length === 0 ? (first ?? []) : [first ?? [], ...others].flat();
  };
  const [before, after] = [forwardsOf(facts.record), forwardsOf(record)];
  if (known === undefined || before.length + after.length === 0) return [];
  const places = [...new Set(tables.flatMap((change) => (change.action === 'add' ? [] : placesOf(change.before))))];
  if (places.length === 0) return [];
  const isFast = facts.state.tables.some((table) => (table.flowtables ?? []).length > 0);
  const flows: HostObject = {
    ...{ kind: 'flows', ...connectionMarks(known.numbers), places, before, after },
    ...(isFast && { fastPath: true }),
  };
  return [{ action: 'remove', before: flows }];
}

/** What of an object led somewhere, in nft's words; nothing where it did not. */
function placesOf(object: HostObject): readonly string[] {
  if (object.kind !== 'nft') return [];
  const { object: part } = object;
  switch (part.kind) {
    case 'table':
      return [`all of table ${part.table}`];
    case 'mapElement':
      return TRANSLATES.test(part.map) ? [printElement(part.element)] : [];
    case 'chain':
      return TRANSLATES.test(part.chain.name) ? [part.chain.name] : [];
    case 'map':
    case 'set':
    case 'setElement':
    case 'flowtable':
    case 'object':
      return [];
  }
}

/**
 * Tells of a flow whether it is to end: it bears a mark of ours, and the forwards that stand now would send it elsewhere, or nowhere.
 * TCP ends only where the forward does not let it finish (`drain: false`).
 */
export function staleFlows({ mask, forwarded, masqueraded, before, after }: MovedFlows): (flow: Flow) => boolean {
  const [now, then] = [findForward(after), findForward(before)];
  return (flow) => {
    const mark = (flow.mark & mask) >>> 0;
    if (mark !== forwarded && mark !== masqueraded) return false;
    const candidates = now(flow);
    // Nobody tracks it any more: left alone, its entry would go out of step with it, and be in its way if it is tracked again.
    if (candidates.some(({ stateless }) => stateless === true)) return true;
    const leadsThere = candidates.some((forward) => {
      const { to, masquerade } = targetFor(forward, flow.client);
      const port = forward.targetPorts.first + flow.askedPort - forward.ports.first;
      return (
        sameAddress(to, flow.target) && port === flow.targetPort && mark === (masquerade ? masqueraded : forwarded)
      );
    });
    if (leadsThere) return false;
    if (flow.protocol === 'udp') return true;
    const [judge] = candidates.length > 0 ? candidates : then(flow);
    return judge?.drain === false;
  };
}

/** Flows that went one way, whoever asked. */
export type FlowsOfForward = Omit<Flow, 'client' | 'clientPort' | 'hidden' | 'offloaded'>;

/**
 * The flows that staleFlows finds, without a look at them: where a few forwards changed, each from one target to another and in nothing that
 * tells who is asked. Undefined where that is not all. Of the forwards that stayed only the place in memory is looked at.
 */
export function flowsOfFew({
  forwarded,
  masqueraded,
  before,
  after,
  fastPath,
}: MovedFlows): readonly FlowsOfForward[] | undefined {
  const most = Math.min(before.length, after.length);
  let head = 0;
  while (head < most && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < most - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail += 1;
  const old = before.slice(head, before.length - tail);
  if (fastPath === true || old.length > FEW || after.length !== before.length) return undefined;
  const ends: FlowsOfForward[] = [];
  for (const [index, forward] of old.entries()) {
    const now = after[head + index];
    if (now === undefined || !isOneWay(forward) || !isOneWay(now) || !sameDoor(forward, now)) return undefined;
    // What was let finish on targets of before ends too from now on, and nobody knows where they were.
    if (now.drain === false && forward.drain !== false) return undefined;
    const stays =
      sameAddress(forward.to, now.to) &&
      forward.targetPorts.first === now.targetPorts.first &&
      forward.masquerade === now.masquerade;
    if (stays || (forward.protocol === 'tcp' && now.drain !== false)) continue;
    ends.push({
      protocol: forward.protocol,
      asked: forward.match.address,
      askedPort: forward.ports.first,
      target: forward.to,
      targetPort: forward.targetPorts.first,
      mark: forward.masquerade ? masqueraded : forwarded,
    });
  }
  return ends;
}

const FEW = 8;

type OneWay = ForwardShare & { readonly match: { readonly address: Address } };

/** One address and port that lead to one target. */
const isOneWay = (forward: ForwardShare): forward is OneWay =>
  'address' in forward.match &&
  forward.ports.first === forward.ports.last &&
  forward.balance === undefined &&
  forward.stateless === undefined;

const sameDoor = (one: OneWay, other: OneWay): boolean =>
  sameAddress(one.match.address, other.match.address) &&
  one.protocol === other.protocol &&
  one.ports.first === other.ports.first;

/**
 * The forwards that take what a flow asked: by address; of those found by an interface any, for the flow does not tell where it came in.
 * Fifty thousand are sorted when the first flow asks: mostly none does.
 */
function findForward(forwards: readonly ForwardShare[]): (flow: Flow) => readonly ForwardShare[] {
  let found: ((flow: Flow) => readonly ForwardShare[]) | undefined;
  return (flow) => {
    found ??= indexForwards(forwards);
    return found(flow);
  };
}

function indexForwards(forwards: readonly ForwardShare[]): (flow: Flow) => readonly ForwardShare[] {
  const exact = new Map<string, ForwardShare[]>();
  const ranges = new Map<string, ForwardShare[]>();
  const put = (map: Map<string, ForwardShare[]>, key: string, forward: ForwardShare): void => {
    const list = map.get(key);
    if (list === undefined) map.set(key, [forward]);
    else list.push(forward);
  };
  for (const forward of forwards) {
    const { match, protocol, ports } = forward;
    const place = 'address' in match ? `${protocol} ${printAddress(match.address)}` : `${protocol} ${match.family}`;
    if (ports.first === ports.last) put(exact, `${place} ${ports.first}`, forward);
    else put(ranges, place, forward);
  }
  return ({ protocol, asked, askedPort }) => {
    const at = (place: string): readonly ForwardShare[] => [
      ...(exact.get(`${place} ${askedPort}`) ?? []),
      ...(ranges.get(place) ?? []).filter(({ ports }) => ports.first <= askedPort && askedPort <= ports.last),
    ];
    const family: Family = asked.family;
    const own = at(`${protocol} ${printAddress(asked)}`);
    return own.length > 0 ? own : at(`${protocol} ${family}`);
  };
}

/** Whether any TCP flow may be to end by staleFlows: else those need not even be listed, and there may be a hundred thousand. */
export const mayEndTcp = ({ before, after }: Pick<MovedFlows, 'before' | 'after'>): boolean =>
  after.some(({ drain, stateless }) => drain === false || stateless === true) ||
  before.some(({ drain }) => drain === false);

/** For the plan: what the flows are of. */
export function printFlows({ places, before, after }: MovedFlows): string {
  const shown = places.slice(0, SHOWN).join(', ');
  const more = places.length > SHOWN ? ` and ${places.length - SHOWN} more` : '';
  const cuts = [...before, ...after].some(({ protocol, drain }) => protocol === 'tcp' && drain === false);
  const untracks = after.some(({ stateless }) => stateless === true);
  const kinds = [
    'UDP',
    ...(cuts ? ['TCP where drain is false'] : []),
    ...(untracks ? ['all where tracking is Stateless'] : []),
  ];
  return `${kinds.join(', and ')}: ${shown}${more}`;
}

const SHOWN = 3;
