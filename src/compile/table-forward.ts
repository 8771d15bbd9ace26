/** The table's part for forwards: translating, letting them pass and nothing else, hiding the client where asked. */
import { type ForwardShare, isOwnLink, targetsOf } from '../host/index.ts';
import { type Family, portCount, printAddress } from '../net/index.ts';
import {
  address,
  and,
  anonymousSet,
  type Chain,
  concat,
  counter,
  ct,
  dnat,
  drop,
  fib,
  join,
  jump,
  lookup,
  type MapElement,
  masquerade,
  match,
  meta,
  type NamedMap,
  type NamedSet,
  number,
  payload,
  type Rule,
  rule,
  setReference,
  symbol,
  text,
} from '../nftables/index.ts';
import type { TableInput } from './table.ts';
import { balancePart } from './table-balance.ts';
import { policyPart } from './table-policy.ts';
import type { OwnLink } from './table-tunnel.ts';
import {
  ADDRESS_TYPE,
  acceptSets,
  FAMILIES,
  goBack,
  IP,
  isIcmp,
  isNew,
  isPorts,
  isRange,
  type Marks,
  names,
  type Part,
  portValue,
  regular,
  setMark,
  type TunnelInTable,
} from './table-words.ts';

/** `sp_to4`, `sp_to4r`, `sp_lease6`, ...: a map for each way a forward is found. */
export interface ForwardMap {
  readonly family: Family;
  readonly ranges: boolean;
  readonly masquerade: boolean;
  /** Found by the interface, for addresses that change; else by the address. */
  readonly lease: boolean;
}

export function forwardParts(forwards: readonly ForwardShare[], marks: Marks): readonly Part[] {
  if (forwards.length === 0) return [];
  const policies = policyPart(forwards, 'sp_');
  const balanced = balancePart(forwards, marks);
  const groups = new Map<string, { readonly of: ForwardMap; readonly elements: Map<string, MapElement> }>();
  for (const forward of forwards) {
    if (forward.balance !== undefined) continue;
    // A range that keeps its ports is one interval; one that is shifted has no such spelling in nftables, so each port is an element.
    const keeps = forward.ports.first === forward.targetPorts.first;
    const ranges = isRange(forward.ports) && keeps;
    const of: ForwardMap = {
      family: forward.to.family,
      ranges,
      masquerade: forward.masquerade,
      lease: 'interface' in forward.match,
    };
    const name = mapName(of);
    const group = groups.get(name) ?? { of, elements: new Map<string, MapElement>() };
    groups.set(name, group);
    for (const element of forwardElements(forward, ranges)) group.elements.set(element.id, element.element);
  }
  const ordered = [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
  const rules: Rule[] = [...policies.before, ...balanced.before];
  for (const masqueraded of [false, true]) {
    const these = ordered.filter(([, { of }]) => of.masquerade === masqueraded);
    if (these.length === 0) continue;
    rules.push(rule(setMark(ct('mark'), masqueraded ? marks.masqueraded : marks.forwarded, marks.keep)));
    rules.push(...these.map(([name, { of }]) => forwardRule(name, of)));
  }
  rules.push(rule(setMark(ct('mark'), 0, marks.keep)));
  const maps = ordered.map(
    ([name, { of, elements }]): NamedMap => ({
      name,
      type: [of.lease ? 'ifname' : ADDRESS_TYPE[of.family], 'inet_proto', 'inet_service'],
      data: of.ranges ? [ADDRESS_TYPE[of.family]] : [ADDRESS_TYPE[of.family], 'inet_service'],
      flags: of.ranges ? ['interval'] : [],
      elements: [...elements.values()],
    }),
  );
  return [policies.part, balanced.part, { maps, chains: [regular('sp_forwards', rules)] }];
}

const mapName = ({ family, ranges, masquerade: hidden, lease }: ForwardMap): string =>
  `sp_${hidden ? 'hide' : 'to'}${lease ? '_lease' : ''}${family}${ranges ? 'r' : ''}`;

function* forwardElements(
  forward: ForwardShare,
  ranges: boolean,
): Generator<{ readonly id: string; readonly element: MapElement }> {
  const where = 'address' in forward.match ? address(forward.match.address) : text(forward.match.interface);
  const place = 'address' in forward.match ? printAddress(forward.match.address) : forward.match.interface;
  const protocol = symbol(forward.protocol);
  if (ranges) {
    yield {
      id: `${place} ${forward.protocol} ${forward.ports.first}`,
      element: { key: concat(where, protocol, portValue(forward.ports)), data: address(forward.to) },
    };
    return;
  }
  for (let offset = 0; offset < portCount(forward.ports); offset++) {
    const port = forward.ports.first + offset;
    const data = concat(address(forward.to), number(forward.targetPorts.first + offset));
    yield { id: `${place} ${forward.protocol} ${port}`, element: { key: concat(where, protocol, number(port)), data } };
  }
}

function forwardRule(name: string, { family, lease }: ForwardMap): Rule {
  const key = lease
    ? join(meta('iifname'), meta('l4proto'), payload('th', 'dport'))
    : join(payload(IP[family], 'daddr'), meta('l4proto'), payload('th', 'dport'));
  return rule(
    ...(lease
      ? [match(meta('nfproto'), '==', symbol(`ipv${family}`)), match(fib('type', 'daddr'), '==', symbol('local'))]
      : []),
    isPorts,
    dnat(IP[family], lookup(key, setReference(name))),
  );
}

export function forwardRules(links: readonly OwnLink[], guarded: TableInput['guarded']): readonly Rule[] {
  return [
    ...(links.length === 0
      ? []
      : [rule(match(meta('oifname'), '==', names(links.map(({ name }) => name))), jump('sp_into'))]),
    ...FAMILIES.flatMap((family) =>
      guarded[family].length === 0
        ? []
        : [
            rule(
              match(meta('nfproto'), '==', symbol(`ipv${family}`)),
              match(meta('iifname'), '==', names(guarded[family])),
              isNew,
              jump('sp_guard'),
            ),
          ],
    ),
  ];
}

/** Into a tunnel goes only what our own DNAT made, replies of what came by it, and ICMP errors of either. */
export const intoTunnels = (marks: Marks, mask: number, untracked: readonly Rule[]): Chain =>
  regular('sp_into', [
    rule(
      match(and(ct('mark'), number(mask)), '==', anonymousSet(number(marks.masqueraded), number(marks.forwarded))),
      goBack,
    ),
    rule(match(ct('direction'), '==', symbol('reply')), goBack),
    rule(match(ct('state'), '==', symbol('related')), isIcmp, goBack),
    ...untracked,
    rule(counter, drop),
  ]);

/** Where only we forward, only translated connections pass: ours, and those of whoever publishes ports later. */
export const guardChain = (): Chain =>
  regular('sp_guard', [rule(match(ct('status'), 'in', symbol('dnat')), goBack), rule(counter, drop)]);

export function masqueradeRules({ tunnels, forwards, numbers }: TableInput, marks: Marks): readonly Rule[] {
  const ours = and(ct('mark'), number(numbers.mark.mask));
  const hairpins = [
    ...new Set(
      forwards.flatMap(targetsOf).flatMap(({ link }) => (link === undefined || isOwnLink(link) ? [] : [link])),
    ),
  ].sort();
  return [
    ...(forwards.flatMap(targetsOf).some(({ masquerade: hidden }) => hidden)
      ? [rule(match(ours, '==', number(marks.masqueraded)), masquerade())]
      : []),
    // A client in the target's own network would get the answer from the target directly, and not know it.
    ...hairpins.map((link) =>
      rule(
        match(meta('iifname'), '==', text(link)),
        match(meta('oifname'), '==', text(link)),
        match(ours, '==', number(marks.forwarded)),
        masquerade(),
      ),
    ),
    ...masqueradeSets(tunnels).map((set) =>
      rule(
        match(ours, '!=', number(0)),
        isPorts,
        match(
          join(
            ct(set.name.startsWith('sp_behind4') ? 'ip daddr' : 'ip6 daddr', 'original'),
            meta('l4proto'),
            ct('proto-dst', 'original'),
          ),
          '==',
          setReference(set.name),
        ),
        masquerade(),
      ),
    ),
  ];
}

/** Targets behind this node that see the node as their client. */
export const masqueradeSets = (tunnels: readonly TunnelInTable[]): readonly NamedSet[] =>
  acceptSets(
    tunnels.flatMap(({ accepts }) => accepts.filter(({ masquerade: hidden }) => hidden)),
    'sp_behind',
    'node',
  ).map(({ set }) => set);
