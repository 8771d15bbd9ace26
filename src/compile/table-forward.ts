/** The table's part for forwards: translating, letting them pass and nothing else, hiding the client where asked. */
import { type ForwardShare, isOwnLink, targetsOf } from '../host/index.ts';
import { type Address, type Family, portCount, printAddress } from '../net/index.ts';
import {
  address,
  and,
  anonymousMap,
  anonymousSet,
  type Chain,
  concat,
  counter,
  ct,
  dnat,
  drop,
  join,
  jump,
  lookup,
  type MapElement,
  masquerade,
  match,
  meta,
  type NamedMap,
  type NamedSet,
  noteElements,
  number,
  payload,
  type Rule,
  rule,
  setReference,
  snat,
  symbol,
  text,
} from '../nftables/index.ts';
import type { TableInput } from './table.ts';
import { balancePart } from './table-balance.ts';
import { type Found, isFromInside, type Way, wayOf } from './table-found.ts';
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
  readonly way: Way;
}

export function forwardParts(forwards: readonly Found[], marks: Marks): readonly Part[] {
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
      way: wayOf(forward),
    };
    const name = mapName(of);
    const group = groups.get(name) ?? { of, elements: new Map<string, MapElement>() };
    groups.set(name, group);
    for (const element of forwardElements(forward, ranges)) group.elements.set(element.id, element.element);
  }
  const ordered = [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
  const rulesOf = (inside: boolean): readonly Rule[] => [
    ...[false, true].flatMap((masqueraded) => {
      const these = ordered.filter(([, { of }]) => of.masquerade === masqueraded && of.way.inside === inside);
      if (these.length === 0) return [];
      const mark = masqueraded ? marks.masqueraded : marks.forwarded;
      return [rule(setMark(ct('mark'), mark, marks.keep)), ...these.map(([name, { of }]) => forwardRule(name, of))];
    }),
    rule(setMark(ct('mark'), 0, marks.keep)),
  ];
  const maps = ordered.map(([name, { of, elements: byKey }]): NamedMap => {
    const elements = [...byKey.values()];
    noteElements(elements, of.way.type);
    return {
      name,
      type: of.way.type,
      data: of.ranges ? [ADDRESS_TYPE[of.family]] : [ADDRESS_TYPE[of.family], 'inet_service'],
      flags: of.ranges ? ['interval'] : [],
      elements,
    };
  });
  const chains = [
    regular('sp_forwards', [...policies.before, ...balanced.before, ...rulesOf(false)]),
    ...(forwards.some(isFromInside)
      ? [regular('sp_inside', [...policies.beforeInside, ...balanced.beforeInside, ...rulesOf(true)])]
      : []),
  ];
  return [policies.part, balanced.part, { maps, chains }];
}

const mapName = ({ family, ranges, masquerade: hidden, way }: ForwardMap): string =>
  `sp_${hidden ? 'hide' : 'to'}${way.suffix}${family}${ranges ? 'r' : ''}`;

function* forwardElements(
  forward: Found,
  ranges: boolean,
): Generator<{ readonly id: string; readonly element: MapElement }> {
  const { where } = wayOf(forward);
  const place =
    'address' in forward.match
      ? printAddress(forward.match.address)
      : 'interface' in forward.match
        ? forward.match.interface
        : '';
  const protocol = symbol(forward.protocol);
  if (ranges) {
    yield {
      id: `${place} ${forward.protocol} ${forward.ports.first}`,
      element: { key: concat(...where, protocol, portValue(forward.ports)), data: address(forward.to) },
    };
    return;
  }
  for (let offset = 0; offset < portCount(forward.ports); offset++) {
    const port = forward.ports.first + offset;
    const data = concat(address(forward.to), number(forward.targetPorts.first + offset));
    yield {
      id: `${place} ${forward.protocol} ${port}`,
      element: { key: concat(...where, protocol, number(port)), data },
    };
  }
}

const forwardRule = (name: string, { family, way }: ForwardMap): Rule =>
  rule(...way.guard, isPorts, dnat(IP[family], lookup(way.key, setReference(name))));

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
    // A target that asks the public address would be asked by itself, and answer itself: it sees the address that it asked.
    ...selfSets(tunnels, forwards).map(({ set, family, asked }) =>
      rule(
        match(meta('oifname'), '==', names(carrying(tunnels, family))),
        match(ours, '==', number(marks.forwarded)),
        match(payload(IP[family], 'saddr'), '==', setReference(set.name)),
        snat(
          IP[family],
          lookup(
            ct(`${IP[family]} daddr`, 'original'),
            anonymousMap(...asked.map((each) => ({ key: address(each), data: address(each) }))),
          ),
        ),
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

interface SelfSet {
  readonly set: NamedSet;
  readonly family: Family;
  /** The public addresses that stay. */
  readonly asked: readonly Address[];
}

/** Who may ask for a forward to itself: what is routed into tunnels, and the public addresses of those that are aimed at in the tunnel. */
export const selfSets = (tunnels: readonly TunnelInTable[], forwards: readonly ForwardShare[]): readonly SelfSet[] =>
  FAMILIES.flatMap((family) => {
    const targets = ofFamily(
      family,
      tunnels.flatMap(({ routes, peer }) =>
        routes.length === 0 ? [] : [...routes.map((route) => route.address), ...(peer.publicAddresses ?? [])],
      ),
    );
    const asked = ofFamily(
      family,
      forwards.flatMap(({ match: at }) => ('address' in at ? [at.address] : [])),
    );
    if (targets.length === 0 || asked.length === 0) return [];
    const elements = targets.map((each) => ({ key: address(each) }));
    return [{ set: { name: `sp_self${family}`, type: [ADDRESS_TYPE[family]], flags: [], elements }, family, asked }];
  });

const ofFamily = (family: Family, addresses: readonly Address[]): readonly Address[] =>
  [...new Map(addresses.filter((each) => each.family === family).map((each) => [printAddress(each), each] as const))]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, each]) => each);

const carrying = (tunnels: readonly TunnelInTable[], family: Family): readonly string[] =>
  [
    ...new Set(
      tunnels.filter(({ routes }) => routes.some((route) => route.address.family === family)).map(({ link }) => link),
    ),
  ].sort();

/** Targets behind this node that see the node as their client. */
export const masqueradeSets = (tunnels: readonly TunnelInTable[]): readonly NamedSet[] =>
  acceptSets(
    tunnels.flatMap(({ accepts }) => accepts.filter(({ masquerade: hidden }) => hidden)),
    'sp_behind',
    'node',
  ).map(({ set }) => set);
