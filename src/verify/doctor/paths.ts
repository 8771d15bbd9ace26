/** Faults that a packet meets on its way: found by the model, weighed by what the kernel has counted and holds open. */
import {
  type Address,
  addressBits,
  type Family,
  networkOf,
  printAddress,
  printPrefix,
  sameAddress,
} from '../../net/index.ts';
import {
  accept,
  address,
  assign,
  baseChain,
  ct,
  flags,
  match,
  meta,
  payload,
  printReference,
  rule,
  symbol,
  type Table,
  text,
} from '../../nftables/index.ts';
import { lookupRoute, printRoute, printRule } from '../../routing/index.ts';
import { type Cause, isOverlay, type Way } from '../../simulate/index.ts';
import { tryAdvice } from './advice.ts';
import { type Asked, printAsked } from './asked.ts';
import { type Examined, type Found, RANK } from './finding.ts';
import {
  addDefault,
  addLookup,
  addTable,
  byHand,
  dotted,
  emptyLegacyTable,
  type FixStep,
  insertIptablesRule,
  insertRule,
  printCommand,
  setSysctl,
} from './fix.ts';
import type { Patient } from './patient.ts';

/** One finding for each `key`: the worst, as of many ports somebody may wait at the last alone. */
export function once(found: readonly (Found & { readonly key: string })[]): readonly Found[] {
  const kept = new Map<string, Found>();
  for (const { key, ...each } of found) {
    const before = kept.get(key);
    if (before === undefined || RANK[each.severity] < RANK[before.severity]) kept.set(key, each);
  }
  return [...kept.values()];
}

export const causeOf = ({ trace, answer }: Asked): Cause | undefined =>
  trace.request.cause ?? trace.reply?.cause ?? answer?.cause;

/** `net.ipv4.conf.eth0.rp_filter = 1`, of each that could be read. */
export const settings = ({ facts }: Patient, ...paths: readonly string[]): readonly string[] =>
  paths.flatMap((path) => {
    const value = facts.state.sysctls.get(path);
    return value === undefined ? [] : [`${dotted(path)} = ${value}`];
  });

/** 1: the kernel refuses what came in, for it would not answer by that link. */
export function reversePathFilter(patient: Patient, asked: readonly Asked[]): Examined {
  const { reversePathDrops } = patient.looks;
  return once(
    asked.flatMap((each) => {
      const cause = causeOf(each);
      if (cause?.kind !== 'reversePath' || cause.host !== patient.host) return [];
      const own = `net/ipv4/conf/${cause.link}/rp_filter`;
      const back = lookupRoute(patient.simulated.routes, { destination: cause.source });
      const isSeen = (reversePathDrops ?? 0) > 0;
      return [
        {
          key: cause.link,
          severity: isSeen ? ('error' as const) : ('info' as const),
          summary: `${printAsked(each)} is dropped: the way back to ${printAddress(cause.source)} is not by ${cause.link}`,
          evidence: [
            ...settings(patient, own, 'net/ipv4/conf/all/rp_filter'),
            ...(back.kind === 'route' ? [printRule(back.rule), printRoute(back.route)] : ['no route back']),
            ...(reversePathDrops === undefined ? [] : [`TcpExtIPReversePathFilter ${reversePathDrops}`]),
          ],
          why: 'Strict reverse path filtering takes a packet only by the link that its answer would leave by, as the routes without marks say. The larger of all and the link counts. It drops without a word.',
          fix: [setSysctl(patient, own, '2')],
        },
      ];
    }),
  );
}

/** By which other link than it was asked by the answer leaves; undefined where it does not. */
function strayAnswer(patient: Patient, each: Asked): { readonly way: Way; readonly link: string } | undefined {
  const way = each.trace.reply ?? each.answer;
  const by = way?.crossings.find(({ from }) => from?.host === patient.host)?.from?.link;
  return way === undefined || by === undefined || by === each.flow.from.link || by === 'lo'
    ? undefined
    : { way, link: by };
}

/** Somebody who has asked so and still waits: half-open connections and unanswered ones. */
function waiting(patient: Patient, { flow }: Asked, isOther: (remote: Address) => boolean): readonly string[] {
  const { halfOpen = [], entries = [] } = patient.looks;
  const open = halfOpen
    .filter(({ local, port, remote }) => port === flow.port && sameAddress(local, flow.to) && isOther(remote))
    .map(({ local, port, remote }) => `SYN_RECV ${printAddress(local)}:${port} from ${printAddress(remote)}`);
  const half = entries
    .filter(
      ({ original, state, unreplied, protocol }) =>
        protocol === flow.protocol &&
        original.destinationPort === flow.port &&
        sameAddress(original.destination, flow.to) &&
        isOther(original.source) &&
        (state === 'SYN_RECV' || unreplied),
    )
    .map(({ text }) => text);
  return [...new Set([...open, ...half])];
}

/** 2: wg-quick's rules take the answers to whoever asked by another link. */
export const tunnelTakesReplies = (patient: Patient, asked: readonly Asked[]): Examined => strays(patient, asked, true);

/** 10: the answer follows the default route, not the way by which it was asked. */
export const replyLeavesElsewhere = (patient: Patient, asked: readonly Asked[]): Examined =>
  strays(patient, asked, false);

function strays(patient: Patient, asked: readonly Asked[], byTunnel: boolean): Examined {
  const { facts, simulated } = patient;
  return once(
    asked.flatMap((each) => {
      const stray = strayAnswer(patient, each);
      if (stray === undefined) return [];
      const out = facts.state.links.find(({ name }) => name === stray.link);
      if (isOverlay(out) !== byTunnel) return [];
      const { from, to } = each.flow;
      const lookup = { destination: from.address, source: to };
      const way = lookupRoute(simulated.routes, lookup);
      if (way.kind !== 'route') return [];
      const leaves = (remote: Address): boolean => {
        const there = lookupRoute(simulated.routes, { destination: remote, source: to });
        return there.kind === 'route' && there.link === stray.link;
      };
      const seen = waiting(patient, each, leaves);
      const near = asked.find(
        ({ who, flow, trace }) =>
          who === 'neighbour' && flow.from.link === from.link && flow.port === each.flow.port && trace.works === true,
      );
      const nearWay = near && lookupRoute(simulated.routes, { destination: near.flow.from.address, source: to });
      const nearWords =
        near !== undefined && nearWay?.kind === 'route'
          ? ` A prober on the link's own network (${printAddress(near.flow.from.address)}) is answered all the same: "${printRule(nearWay.rule)}" comes first and finds "${printRoute(nearWay.route)}".`
          : '';
      const isMeant = each.meant.kind === 'dnat';
      return [
        {
          key: `${from.link} ${stray.link}`,
          severity: seen.length > 0 ? ('error' as const) : isMeant ? ('error' as const) : ('warning' as const),
          summary: `the answer to ${printAsked(each)} leaves by ${stray.link}`,
          evidence: [
            printRule(way.rule),
            printRoute(way.route),
            `ip route get ${printAddress(from.address)} from ${printAddress(to)} -> dev ${stray.link}`,
            ...seen.slice(0, 3),
          ],
          why: byTunnel
            ? `Whatever bears no mark of the tunnel goes into it, answers to others too: ${stray.link} sends them nowhere that could give them back.${nearWords}`
            : `Answers are routed by where they go, not by where the question came from: they leave by ${stray.link} with an address of ${from.link}, and the network there, or the client, drops them.`,
          ...(byTunnel && { tried: tryAdvice(patient, stray.link, each, near) }),
          fix: returnBy(patient, each),
        },
      ];
    }),
  );
}

/** A table of its own for what leaves from the address it was asked at; for a machine behind, by the connection's mark. */
function returnBy(patient: Patient, { flow, answer }: Asked): readonly FixStep[] {
  const { from, to } = flow;
  const { family } = to;
  const { routes, rules, sysctls } = patient.facts.state;
  const gateway = routes
    .filter(({ destination }) => destination.address.family === family && destination.length === 0)
    .flatMap((route) => (route.nexthops ?? [route]).filter(({ link }) => link === from.link))
    .find((route) => route.gateway !== undefined)?.gateway;
  const used = new Set([...routes.map(({ table }) => table), ...rules.map(({ priority }) => priority)]);
  // Up to the kernel's own 253, default.
  const number = Array.from({ length: 153 }, (_, index) => 100 + index).find((each) => !used.has(each)) ?? 100;
  const route = addDefault(family, { link: from.link, gateway, table: number });
  const own = { address: to, length: addressBits(family) };
  if (answer === undefined) return [route, addLookup(family, { from: own }, number)];
  const filter = (link: string): string => `net/ipv4/conf/${link}/rp_filter`;
  const isStrict = Math.max(...['all', from.link].map((link) => Number(sysctls.get(filter(link)) ?? 0))) === 1;
  return [
    route,
    addLookup(family, { mark: number }, number),
    ...addTable(patient, 'inet', 'return_by', [
      baseChain(
        'pre',
        { type: 'filter', hook: 'prerouting', priority: -150 },
        rule(
          match(meta('iifname'), '==', text(from.link)),
          match(ct('state'), 'in', symbol('new')),
          assign(ct('mark'), number),
        ),
        rule(
          match(ct('direction'), '==', symbol('reply')),
          match(ct('mark'), '==', number),
          assign(meta('mark'), number),
        ),
      ),
    ]),
    ...(family === 4 && isStrict ? [setSysctl(patient, filter(from.link), '2')] : []),
  ];
}

/** 5: a chain on hook forward drops by its policy what a translation of the host itself means to pass. */
export function forwardPolicyDrop(patient: Patient, asked: readonly Asked[]): Examined {
  return once(
    asked.flatMap((each) => {
      const cause = causeOf(each);
      if (cause?.kind !== 'rule' || cause.host !== patient.host || each.meant.kind === 'socket') return [];
      const { table, chain, rule, policy } = cause.at;
      if (rule !== undefined || policy !== 'drop' || table.origin === 'iptables-legacy') return [];
      const { family } = table;
      if (family !== 'ip' && family !== 'ip6' && family !== 'inet') return [];
      const base = patient.facts.state.tables
        .find((each) => each.family === family && each.name === table.name)
        ?.chains.find(({ name }) => name === chain);
      if (base?.kind !== 'base' || base.hook !== 'forward') return [];
      const { destination, destinationPort, source } = cause.packet;
      const out = lookupRoute(patient.simulated.routes, { destination });
      const link = out.kind === 'route' ? out.link : '';
      const { protocol } = each.flow;
      const user = patient.facts.state.tables.some(({ chains }) => chains.some(({ name }) => name === 'DOCKER-USER'));
      const isOut = each.meant.kind === 'snat';
      const iptables = isOut
        ? ['-i', each.flow.from.link, '-s', printAddress(source), '-o', link]
        : ['-d', printAddress(destination), '-p', protocol, '--dport', String(destinationPort), '-o', link];
      const ip = destination.family === 4 ? 'ip' : 'ip6';
      const meant = isOut
        ? [match(meta('iifname'), '==', text(each.flow.from.link)), match(meta('oifname'), '==', text(link))]
        : [
            match(payload(ip, 'daddr'), '==', address(destination)),
            match(payload(protocol, 'dport'), '==', destinationPort ?? 0),
          ];
      const comment = `for ${printAsked(each)}`;
      const isXt = table.origin === 'iptables-nft' || (table.family !== 'inet' && table.name === 'filter');
      const at = `${table.family} ${table.name} ${chain}`;
      return [
        {
          key: `${at} ${each.meant.rule}`,
          severity: 'error' as const,
          summary: `${printReference(cause.at)} drops what a rule of this host translates: ${printAsked(each)}`,
          evidence: [printReference(cause.at), each.meant.rule],
          why: 'A packet that is forwarded must pass every base chain on that hook; an accept in one of them is no word in another. Docker sets the policy of FORWARD to drop where it was dockerd that switched forwarding on.',
          fix: isXt
            ? [iptables, ['-m', 'conntrack', '--ctstate', 'ESTABLISHED,RELATED']].map((matches) =>
                insertIptablesRule(
                  family === 'ip6' ? 6 : 4,
                  { table: table.name, chain: user ? 'DOCKER-USER' : chain },
                  [...matches, '-j', 'ACCEPT'],
                ),
              )
            : [[match(ct('state'), 'in', flags('established', 'related'))], meant].map((matches) =>
                insertRule(
                  { kind: 'nft', family, table: table.name, chain },
                  { statements: [...matches, accept], comment },
                ),
              ),
        },
      ];
    }),
  );
}

/** 7: rules of iptables' older kind decide over what the newer ones mean. */
export function iptablesMixed(patient: Patient, asked: readonly Asked[]): Examined {
  const { tables } = patient.facts.state;
  const legacy = tables.filter(
    ({ origin, chains }) => origin === 'iptables-legacy' && chains.some((one) => one.rules.length > 0),
  );
  const newer = tables.filter(
    ({ origin, family, chains }) =>
      origin !== 'iptables-legacy' &&
      (family === 'ip' || family === 'ip6' || family === 'inet') &&
      chains.some((one) => one.rules.length > 0),
  );
  if (legacy.length === 0 || newer.length === 0) return [];
  const evidence = [
    ...legacy.map(
      ({ family, name, chains }) => `iptables-legacy, ${family} ${name}: ${rulesOf(chains).slice(0, 2).join('; ')}`,
    ),
    `nft list tables: ${newer.map(({ family, name }) => `${family} ${name}`).join(', ')}`,
  ];
  const harmed = asked.find((each) => {
    const cause = causeOf(each);
    const isDropped = cause?.kind === 'rule' && cause.at.table.origin === 'iptables-legacy';
    return isDropped || each.trace.request.reason?.includes("iptables' older kind") === true;
  });
  return [
    {
      severity: harmed === undefined ? 'info' : 'error',
      summary:
        harmed === undefined
          ? 'iptables rules of both kinds stand side by side; no flow is harmed by it'
          : `rules of iptables' older kind decide over ${printAsked(harmed)}`,
      evidence: [...evidence, ...(harmed === undefined || harmed.meant.kind === 'socket' ? [] : [harmed.meant.rule])],
      why: 'Each kind lists its own rules alone and the kernel runs both: what one forgot to delete goes on translating and dropping, and the other does not show it.',
      fix: legacy.flatMap(emptyLegacyTable),
    },
  ];
}

const rulesOf = (chains: Patient['facts']['state']['tables'][number]['chains']): readonly string[] =>
  chains.flatMap(({ rules }) => rules.flatMap(({ text }) => text ?? []));

/** 11: what is translated to another machine comes there from this host. */
export function clientAddressLost(patient: Patient, asked: readonly Asked[]): Examined {
  const { entries = [] } = patient.looks;
  return once(
    asked.flatMap((each) => {
      if (each.meant.kind !== 'dnat') return [];
      const { request } = each.trace;
      const { source } = request.packet;
      if (
        sameAddress(source, each.flow.from.address) ||
        (request.verdict !== 'exits' && request.verdict !== 'delivered')
      )
        return [];
      const hop = request.hops.findLast(({ stage, decidedBy }) => stage === 'postrouting' && decidedBy !== '');
      if (hop === undefined || hop.decidedBy.startsWith('inet sallyport')) return [];
      const seen = entries.filter(
        ({ original, reply }) =>
          original.destinationPort === each.flow.port &&
          !sameAddress(original.destination, reply.source) &&
          !sameAddress(original.source, reply.destination),
      );
      return [
        {
          key: hop.decidedBy,
          severity: seen.length > 0 ? ('warning' as const) : ('info' as const),
          summary: `${printAsked(each)} comes to its target from ${printAddress(source)}: the client's own address is lost`,
          evidence: [hop.decidedBy, each.meant.rule, ...seen.slice(0, 2).map(({ text }) => text)],
          why: 'The target sees this host instead of the client: logs, limits and allow lists go by the wrong address.',
          fix: [
            byHand(
              '# where the target answers by this host, as by its default route; one with another way out needs the rule as it is:',
            ),
            byHand(
              sparing(patient, hop.decidedBy, request) ?? `# let what comes from outside past it: ${hop.decidedBy}`,
            ),
          ],
        },
      ];
    }),
  );
}

/**
 * A command that lets what was translated on its way in keep its source: all but what the target's own network asks, whose answers would
 * otherwise go past this host. Undefined where the rule is not found again.
 */
function sparing({ facts: { state } }: Patient, decidedBy: string, { packet, link }: Way): string | undefined {
  const { family } = packet.destination;
  const beside = state.addresses.flatMap(({ link: on, address }) =>
    on === link && address.address.family === family ? [printPrefix(networkOf(address))] : [],
  );
  for (const table of state.tables)
    for (const chain of table.chains)
      for (const rule of chain.rules) {
        const place = printReference({ table, chain: chain.name, rule });
        if (link === undefined || (decidedBy !== place && !decidedBy.startsWith(`${place} # handle `))) continue;
        const { family: kind, name, origin } = table;
        const isXt = origin !== undefined || rule.text !== undefined;
        return printCommand(
          isXt
            ? [
                ...[iptablesOf(origin, family), '-t', name, '-I', chain.name, '-o', link],
                ...beside.slice(0, 1).flatMap((prefix) => ['!', '-s', prefix]),
                ...['-m', 'conntrack', '--ctstate', 'DNAT', '-j', 'RETURN'],
              ]
            : [
                ...['nft', 'insert', 'rule', kind, name, chain.name, 'oifname', link, 'ct', 'status', 'dnat'],
                ...beside.flatMap((prefix) => [family === 4 ? 'ip' : 'ip6', 'saddr', '!=', prefix]),
                'return',
              ],
        );
      }
  return undefined;
}

const iptablesOf = (origin: Table['origin'], family: Family): string =>
  `${family === 4 ? 'iptables' : 'ip6tables'}${origin === 'iptables-legacy' ? '-legacy' : ''}`;
