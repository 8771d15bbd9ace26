/** Maps from what a forward listens at to a chain, of the same kinds as those that translate: exact or ranges, by address or by lease. */
import type { ForwardShare } from '../host/index.ts';
import {
  address,
  concat,
  fib,
  join,
  type MapElement,
  match,
  meta,
  type NamedMap,
  payload,
  type Rule,
  rule,
  setReference,
  symbol,
  text,
  type Verdict,
  verdictMap,
} from '../nftables/index.ts';
import { ADDRESS_TYPE, isPorts, isRange, portValue, target } from './table-words.ts';

/** Forwards of one name that ask for the same; two sets may each have a PortForward of one name, and then `name` tells them apart. */
export interface ForwardGroup {
  readonly name: string;
  readonly forwards: readonly ForwardShare[];
}

/** The forwards by name and by what `contentOf` says of them; those of which it says nothing are left out. */
export function groupForwards(
  forwards: readonly ForwardShare[],
  contentOf: (forward: ForwardShare) => unknown,
): readonly ForwardGroup[] {
  const byName = new Map<string, Map<string, ForwardShare[]>>();
  for (const forward of forwards) {
    const content = contentOf(forward);
    if (content === undefined) continue;
    const key = JSON.stringify(content, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value));
    const ofName = byName.get(forward.name) ?? new Map<string, ForwardShare[]>();
    byName.set(forward.name, ofName);
    const group = ofName.get(key);
    if (group === undefined) ofName.set(key, [forward]);
    else group.push(forward);
  }
  return [...byName].flatMap(([name, ofName]) =>
    [...ofName.values()].map((group, index) => ({
      name: index === 0 ? name : `${name}/${index + 1}`,
      forwards: group,
    })),
  );
}

export interface Verdicts {
  readonly maps: readonly NamedMap[];
  /** One for each map: looks it up. */
  readonly rules: readonly Rule[];
}

/** A verdict for each forward, by maps whose names begin with `prefix`. */
export function verdictMaps(
  prefix: string,
  entries: readonly { readonly forward: ForwardShare; readonly verdict: Verdict }[],
): Verdicts {
  const maps = new Map<string, { readonly map: NamedMap; readonly elements: MapElement[]; readonly rule: Rule }>();
  for (const { forward, verdict } of entries) {
    const { name, head, rule: asks } = mapOf(prefix, forward);
    const elements = maps.get(name)?.elements ?? [];
    elements.push({ key: keyOf(forward), data: verdict });
    maps.set(name, { map: { name, ...head, elements }, elements, rule: asks });
  }
  const ordered = [...maps].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);
  return { maps: ordered.map(({ map }) => map), rules: ordered.map((each) => each.rule) };
}

function keyOf({ match: at, protocol, ports }: ForwardShare): MapElement['key'] {
  const where = 'address' in at ? address(at.address) : text(at.interface);
  return concat(where, symbol(protocol), portValue(ports));
}

function mapOf(
  prefix: string,
  { match: at, ports, to: { family } }: ForwardShare,
): { readonly name: string; readonly head: Omit<NamedMap, 'name' | 'elements'>; readonly rule: Rule } {
  const lease = 'interface' in at;
  const name = `${prefix}${lease ? '_lease' : ''}${family}${isRange(ports) ? 'r' : ''}`;
  const key = lease ? join(meta('iifname'), meta('l4proto'), payload('th', 'dport')) : target(family);
  return {
    name,
    head: {
      type: [lease ? 'ifname' : ADDRESS_TYPE[family], 'inet_proto', 'inet_service'],
      data: ['verdict'],
      flags: isRange(ports) ? ['interval'] : [],
    },
    rule: rule(
      ...(lease
        ? [match(meta('nfproto'), '==', symbol(`ipv${family}`)), match(fib('type', 'daddr'), '==', symbol('local'))]
        : []),
      isPorts,
      verdictMap(key, setReference(name)),
    ),
  };
}
