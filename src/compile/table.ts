/**
 * The table `inet sallyport` of a host. Forwards and accepted targets are elements of maps and sets, so a packet costs the same with one of
 * them or fifty thousand, and a change is an element. What each statement is for was measured: dataplane.md, section 5.
 */
import type { ForwardShare, HostNumbers } from '../host/index.ts';
import type { Address } from '../net/index.ts';
import {
  and,
  anonymousMap,
  anonymousSet,
  type BaseChain,
  type Chain,
  ct,
  jump,
  match,
  meta,
  number,
  type Rule,
  rule,
  symbol,
  type Table,
  text,
  verdictMap,
} from '../nftables/index.ts';
import { fastPath } from './table-fast.ts';
import {
  forwardParts,
  forwardRules,
  guardChain,
  intoTunnels,
  masqueradeRules,
  masqueradeSets,
  selfSets,
} from './table-forward.ts';
import { withInside } from './table-found.ts';
import { insideRules } from './table-inside.ts';
import { statelessPart } from './table-stateless.ts';
import {
  backChain,
  clamp,
  clampDirect,
  directReturns,
  errorRules,
  forgetMark,
  fromName,
  fromTunnel,
  loopRules,
  moveRules,
  ownLinks,
  restore,
  unmarkRules,
  zoneRules,
} from './table-tunnel.ts';
import { jumpTo, marksOf, type TunnelInTable } from './table-words.ts';

export interface TableInput {
  /** The devices of the fast path; absent: the host has none, or nobody asks for it. */
  readonly fastPath?: readonly string[];
  readonly tunnels: readonly TunnelInTable[];
  readonly forwards: readonly ForwardShare[];
  /** Addresses of the host that are no lease of a public link. */
  readonly lasting: readonly Address[];
  readonly numbers: HostNumbers;
  /** Rules of others ask prerouting, by the packet's mark, whether an answer would go back by the link. */
  readonly askedBack: boolean;
  /** Links on which we switched forwarding on: they carried nothing of others before, and still must not. */
  readonly guarded: { readonly 4: readonly string[]; readonly 6: readonly string[] };
}

// netfilter_ipv4.h: raw -300, conntrack -200, mangle -150, dstnat -100, filter 0, srcnat 100.
const RAW = -300;
const MANGLE = -150;
/** Before other tables' DNAT (Docker's published ports, kube-proxy): the first to match wins. */
const BEFORE_DSTNAT = -110;
/** After kube-proxy's DNAT: at the same priority the Service's would be lost (dataplane.md, section 6). */
const AFTER_DSTNAT = -90;
const FILTER = 0;
const SRCNAT = 100;
/** NF_IP_PRI_LAST: after whatever others put at the hook. */
const LAST = 0x7fff_ffff;

/**
 * What came by a tunnel bears the mark of its answers while others ask where those would go, and no longer: with it the packet itself would
 * be sent back.
 */
function askedBackChains(returning: readonly TunnelInTable[], numbers: HostNumbers): readonly Chain[] {
  const { mask } = numbers.mark;
  const original = match(ct('direction'), '==', symbol('original'));
  const ours = match(and(ct('mark'), number(mask)), '!=', number(0));
  return [
    ...base('sp_asked', 'filter', 'prerouting', MANGLE + 1, restore(returning, numbers, 'original')),
    ...base(
      'sp_answered',
      'filter',
      'prerouting',
      LAST,
      returning.length === 0 ? [] : [rule(original, ours, forgetMark(numbers))],
    ),
  ];
}

/** The whole table, or undefined where nothing is asked. */
export function sallyportTable(input: TableInput): Table | undefined {
  if (input.tunnels.length === 0 && input.forwards.length === 0) return undefined;
  const marks = marksOf(input.numbers);
  const links = ownLinks(input.tunnels);
  const tracked = input.forwards.filter(({ stateless }) => stateless !== true);
  const stateless = statelessPart(
    input.forwards.filter((forward) => forward.stateless === true),
    marks,
    input.numbers.mark.mask,
  );
  const returning = input.tunnels.filter(({ returns }) => returns.length > 0);
  const parts = [
    ...links.map((link) => fromTunnel(link, input.tunnels, input.numbers, stateless.out)),
    ...directReturns(returning, input.numbers),
    ...forwardParts(withInside(tracked), marks),
    stateless.part,
  ];
  const isUnmarked = match(and(ct('mark'), number(input.numbers.mark.mask)), '==', number(0));
  const inside = insideRules(tracked, input.lasting, isUnmarked);
  const fast = fastPath({ ...input, forwards: tracked }, marks);
  const isOurs = match(
    and(ct('mark'), number(input.numbers.mark.mask)),
    '==',
    anonymousSet(number(marks.masqueraded), number(marks.forwarded)),
  );
  const narrow =
    tracked.length === 0 ? [] : input.tunnels.filter(({ link }) => tracked.some((each) => each.link === link));
  const answering = returning.filter(({ beside }) => beside === undefined);
  const back = answering.map((tunnel) => backChain(tunnel, input.numbers));
  const chains: Chain[] = [
    ...base('sp_untrack', 'filter', 'prerouting', RAW, stateless.untrack),
    ...base('sp_zone', 'filter', 'prerouting', RAW, zoneRules(returning, input.numbers)),
    ...base('sp_pre', 'filter', 'prerouting', MANGLE, [
      ...(links.length === 0
        ? []
        : [
            rule(
              verdictMap(
                meta('iifname'),
                anonymousMap(...links.map(({ name }) => ({ key: text(name), data: jumpTo(fromName(name)) }))),
              ),
            ),
          ]),
      ...parts.flatMap(({ pre }) => pre ?? []),
      ...clampDirect(narrow, isOurs, 'iifname'),
      ...restore(answering, input.numbers),
    ]),
    ...(input.askedBack ? askedBackChains(answering, input.numbers) : []),
    ...base('sp_out', 'route', 'output', MANGLE, restore(answering, input.numbers)),
    ...base(
      'sp_dnat',
      'nat',
      'prerouting',
      BEFORE_DSTNAT,
      tracked.length === 0 ? [] : [...inside.others, rule(isUnmarked, jump('sp_forwards')), ...inside.othersLeased],
    ),
    ...base(
      'sp_dnat_own',
      'nat',
      'output',
      BEFORE_DSTNAT,
      tracked.length === 0 ? [] : [...inside.own, rule(jump('sp_forwards')), ...inside.ownLeased],
    ),
    ...base('sp_loop', 'filter', 'output', FILTER, loopRules(links)),
    ...base('sp_move', 'nat', 'prerouting', AFTER_DSTNAT, moveRules(input.tunnels, input.numbers)),
    ...base('sp_forward', 'filter', 'forward', FILTER, forwardRules(links, input.guarded)),
    ...base('sp_clamp', 'filter', 'postrouting', MANGLE, [
      ...links.flatMap((link) => [...clamp(link, 'oifname'), ...errorRules(link, input.numbers)]),
      ...clampDirect(narrow, isOurs, 'oifname'),
    ]),
    ...base('sp_unmark', 'filter', 'postrouting', LAST, unmarkRules(returning, input.numbers)),
    // Empty on purpose: with zones, replies share one zone, and the kernel makes their tuples unique only where NAT is on (dataplane.md, section 5).
    ...(returning.length === 0 ? [] : [baseChain('sp_clash', 'nat', 'input', SRCNAT, [])]),
    ...base('sp_fast', 'filter', 'forward', LAST, fast.rules),
    ...base('sp_masquerade', 'nat', 'postrouting', SRCNAT, masqueradeRules({ ...input, forwards: tracked }, marks)),
    ...base('sp_source', 'filter', 'postrouting', SRCNAT, stateless.source),
    ...parts.flatMap(({ chains: regular }) => regular),
    ...back,
    ...(links.length === 0 ? [] : [intoTunnels(marks, input.numbers.mark.mask, stateless.into)]),
    ...(input.guarded[4].length + input.guarded[6].length === 0 ? [] : [guardChain()]),
  ];
  const clients = [...masqueradeSets(input.tunnels), ...selfSets(input.tunnels, tracked).map(({ set }) => set)];
  return {
    family: 'inet',
    name: 'sallyport',
    sets: [...parts.flatMap(({ sets }) => sets ?? []), ...clients, ...inside.sets, ...fast.sets],
    maps: parts.flatMap(({ maps }) => maps ?? []),
    chains,
    ...(fast.flowtables.length > 0 && { flowtables: fast.flowtables }),
    opaque: [],
  };
}

const baseChain = (
  name: string,
  type: BaseChain['type'],
  hook: BaseChain['hook'],
  priority: number,
  rules: readonly Rule[],
): BaseChain => ({
  kind: 'base',
  name,
  type,
  hook,
  priority,
  policy: 'accept',
  rules,
});

/** A base chain where it has rules: an empty one would cost each packet a call. */
const base = (...args: Parameters<typeof baseChain>): readonly BaseChain[] =>
  args[4].length === 0 ? [] : [baseChain(...args)];
