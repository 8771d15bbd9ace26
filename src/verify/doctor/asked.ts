/** Who may ask a host for what, and what becomes of it: the flows that its sockets and its own translations mean. */
import {
  type Address,
  addAddress,
  containsAddress,
  type Family,
  type Prefix,
  printAddress,
  sameAddress,
} from '../../net/index.ts';
import type { Expression, Rule, Statement, Table } from '../../nftables/index.ts';
import { lookupRoute } from '../../routing/index.ts';
import { type Connections, type Flow, isOverlay, simulate, type Trace, type Way } from '../../simulate/index.ts';
import { chooseOutsiders, neighbourOn } from '../outsider.ts';
import type { Patient } from './patient.ts';

export interface Asked {
  readonly flow: Flow & {
    readonly from: { readonly kind: 'beyond'; readonly link: string; readonly address: Address };
  };
  readonly who: 'stranger' | 'neighbour';
  readonly trace: Trace;
  /** What means it: a listening socket, or a rule that translates. */
  readonly meant: { readonly kind: 'socket' } | { readonly kind: 'dnat' | 'snat'; readonly rule: string };
  /** Of a translated request that left for a machine behind the host: the way of that machine's answer. */
  readonly answer?: Way;
}

/** More are not asked: a host has few kinds of ports. */
const MOST = 160;

/** Links beyond which a router stands, in any table. */
function uplinks(patient: Patient, family: Family): ReadonlySet<string> {
  const { routes, links } = patient.facts.state;
  const overlays = new Set(links.filter((link) => isOverlay(link)).map(({ name }) => name));
  const found = routes
    .filter(
      ({ destination, type }) =>
        destination.address.family === family && destination.length === 0 && type === 'unicast',
    )
    .flatMap((route) => route.nexthops ?? [route])
    .flatMap(({ gateway, link }) => (gateway !== undefined && link !== undefined && !overlays.has(link) ? [link] : []));
  return new Set(found);
}

/** The host's own addresses by which others may ask it. */
const ownAddresses = ({ facts }: Patient, link?: string) =>
  facts.state.addresses.filter(
    (each) =>
      each.scope === 'global' &&
      each.tentative !== true &&
      each.temporary !== true &&
      (link === undefined || each.link === link),
  );

/** Each listening port, asked by a neighbour on each link and, where a router stands beyond, by a stranger. */
export function askSockets(patient: Patient): readonly Asked[] {
  const { facts, sockets = [], network, host } = patient;
  const outsiders = chooseOutsiders(network);
  // A tunnel's own packets bear its mark, and the far end hears wherever they come from.
  const tunnels = new Set(facts.state.devices.map(({ listenPort }) => listenPort));
  const asked: Asked[] = [];
  for (const link of facts.state.links) {
    if (link.name === 'lo' || !link.up || isOverlay(link)) continue;
    for (const { address } of ownAddresses(patient, link.name)) {
      const { family } = address.address;
      const heard = sockets.filter(
        (socket) =>
          socket.families.includes(family) &&
          !(socket.protocol === 'udp' && tunnels.has(socket.port)) &&
          (socket.address === undefined || sameAddress(socket.address, address.address)),
      );
      const askers = [
        { who: 'neighbour' as const, from: neighbourOn(network, host, link.name, family, outsiders[family]) },
        ...(uplinks(patient, family).has(link.name) ? [{ who: 'stranger' as const, from: outsiders[family] }] : []),
      ];
      for (const { who, from } of askers)
        for (const { protocol, port } of heard) {
          if (asked.length >= MOST) return asked;
          if (who === 'neighbour' && sameAddress(from, outsiders[family])) continue;
          const flow = {
            from: { kind: 'beyond' as const, host, link: link.name, address: from },
            ...{ to: address.address, port, protocol },
          };
          asked.push({ flow, who, trace: simulate(network, flow, { hops: true }), meant: { kind: 'socket' } });
        }
    }
  }
  return asked;
}

/** What a rule selects by, as far as it is constants. */
interface Selected {
  readonly source?: Prefix;
  readonly destination?: Address;
  readonly protocol?: 'tcp' | 'udp';
  readonly port?: number;
  readonly iif?: string;
  readonly oif?: string;
}

function selectedBy(rule: Rule): Selected {
  let selected: Selected = {};
  for (const statement of rule.statements) {
    if (statement.kind !== 'match' || statement.op !== '==') continue;
    selected = { ...selected, ...selectedByMatch(statement.left, statement.right) };
  }
  return selected;
}

function selectedByMatch(left: Expression, right: Expression): Selected {
  if (left.kind === 'payload') {
    const { protocol, field } = left;
    const number = right.kind === 'number' ? right.value : undefined;
    if (field === 'dport' && number !== undefined)
      return { port: number, ...((protocol === 'tcp' || protocol === 'udp') && { protocol }) };
    if (field === 'daddr' && right.kind === 'address') return { destination: right.address };
    if (field === 'daddr' && right.kind === 'prefix' && right.prefix.length === 32)
      return { destination: right.prefix.address };
    if (field === 'saddr' && right.kind === 'prefix') return { source: right.prefix };
    return {};
  }
  if (left.kind !== 'meta') return {};
  const text = right.kind === 'string' ? right.text : undefined;
  if ((left.key === 'iifname' || left.key === 'iif') && text !== undefined) return { iif: text };
  if ((left.key === 'oifname' || left.key === 'oif') && text !== undefined) return { oif: text };
  if (left.key === 'l4proto') {
    const name =
      right.kind === 'symbol' ? right.name : right.kind === 'number' ? { 6: 'tcp', 17: 'udp' }[right.value] : '';
    if (name === 'tcp' || name === 'udp') return { protocol: name };
  }
  return {};
}

/** A rule that translates, outside our own table. */
export interface Translating {
  readonly table: Table;
  readonly chain: string;
  readonly rule: Rule;
  readonly statement: Extract<Statement, { readonly kind: 'dnat' | 'snat' | 'masquerade' }>;
  readonly selected: Selected;
  readonly text: string;
}

const printTranslating = ({ table, chain, text }: Pick<Translating, 'table' | 'chain' | 'text'>): string =>
  `${table.origin === 'iptables-legacy' ? 'iptables-legacy ' : ''}${table.family} ${table.name} ${chain}: ${text}`;

export function translatingRules(tables: readonly Table[], print: (rule: Rule) => string): readonly Translating[] {
  return tables.flatMap((table) =>
    table.chains.flatMap((chain) =>
      chain.rules.flatMap((rule) =>
        rule.statements.flatMap((statement): readonly Translating[] =>
          statement.kind === 'dnat' || statement.kind === 'snat' || statement.kind === 'masquerade'
            ? [
                {
                  table,
                  chain: chain.name,
                  rule,
                  statement,
                  selected: selectedBy(rule),
                  text: rule.text ?? print(rule),
                },
              ]
            : [],
        ),
      ),
    ),
  );
}

const isOurs = ({ family, name }: Table): boolean => family === 'inet' && name === 'sallyport';

/** Each translation to another machine that names its port, asked by a stranger and by a neighbour of the host. */
export function askForwards(patient: Patient, rules: readonly Translating[]): readonly Asked[] {
  const asked: Asked[] = [];
  for (const each of rules) {
    const { statement, selected, table } = each;
    if (statement.kind !== 'dnat' || isOurs(table) || selected.port === undefined) continue;
    const family: Family = statement.family === 'ip6' || table.family === 'ip6' ? 6 : 4;
    for (const start of startsOf(patient, family, selected)) {
      if (asked.length >= MOST) return asked;
      asked.push(askForward(patient, start, selected.port, selected.protocol ?? 'tcp', printTranslating(each)));
    }
  }
  return asked;
}

interface Start {
  readonly who: Asked['who'];
  readonly link: string;
  readonly from: Address;
  readonly to: Address;
}

function startsOf(patient: Patient, family: Family, selected: Selected): readonly Start[] {
  const { network, host, facts } = patient;
  const outsider = chooseOutsiders(network)[family];
  const ups = uplinks(patient, family);
  const links = facts.state.links.filter(
    ({ name, up }) => up && name !== 'lo' && (selected.iif === undefined || selected.iif === name),
  );
  return links.flatMap(({ name }): readonly Start[] => {
    const own = ownAddresses(patient, name).find(({ address }) => address.address.family === family)?.address.address;
    const to = selected.destination ?? own;
    if (to === undefined || to.family !== family) return [];
    // Asked by the link that bears the address; where no link does, by any uplink.
    const isHere = own !== undefined && sameAddress(own, to);
    const isBorne = ownAddresses(patient).some(({ address }) => sameAddress(address.address, to));
    if (isBorne && !isHere) return [];
    if (ups.has(name)) return [{ who: 'stranger', link: name, from: outsider, to }];
    const neighbour = neighbourOn(network, host, name, family, outsider);
    return sameAddress(neighbour, outsider) ? [] : [{ who: 'neighbour', link: name, from: neighbour, to }];
  });
}

function askForward(
  { network, host }: Patient,
  { who, link, from, to }: Start,
  port: number,
  protocol: 'tcp' | 'udp',
  rule: string,
): Asked {
  const flow = { from: { kind: 'beyond' as const, host, link, address: from }, to, port, protocol };
  const connections: Connections = new Map();
  const trace = simulate(network, flow, { hops: true, connections });
  const { request } = trace;
  const meant = { kind: 'dnat' as const, rule };
  if (trace.reply !== undefined || request.verdict !== 'exits' || request.link === undefined || request.host !== host)
    return { flow, who, trace, meant };
  // The machine behind answers from where it was asked to where the request said it came from.
  const back: Flow = {
    from: { kind: 'beyond', host, link: request.link, address: request.packet.destination },
    to: request.packet.source,
    port: request.packet.sourcePort ?? 0,
    sourcePort: request.packet.destinationPort ?? port,
    protocol,
  };
  return { flow, who, trace, meant, answer: simulate(network, back, { hops: true, connections }).request };
}

/** A forward of ours of each family and public link, asked by a stranger: our own table names no ports in its rules, but its record does. */
export function askOwnForwards(patient: Patient): readonly Asked[] {
  const { facts, network } = patient;
  const asked = new Map<string, Asked>();
  for (const { forwards } of facts.record?.sets.values() ?? [])
    for (const { match, to, protocol, ports, publicLinks } of forwards) {
      const [link] = publicLinks;
      const key = `${link} ${to.family}`;
      if (link === undefined || asked.has(key)) continue;
      const own = ownAddresses(patient, link).find(({ address }) => address.address.family === to.family);
      const address = 'address' in match ? match.address : own?.address.address;
      if (address === undefined) continue;
      const start: Start = { who: 'stranger', link, from: chooseOutsiders(network)[to.family], to: address };
      const found = askForward(patient, start, ports.first, protocol, '');
      const rule = found.trace.request.hops.find(
        (hop) => hop.stage === 'prerouting' && hop.decidedBy !== '',
      )?.decidedBy;
      if (rule !== undefined) asked.set(key, { ...found, meant: { kind: 'dnat', rule } });
    }
  return [...asked.values()];
}

/** Each translation of sources that names them, asked from there towards a stranger. */
export function askSources(patient: Patient, rules: readonly Translating[]): readonly Asked[] {
  const { network, host, simulated } = patient;
  return rules.slice(0, MOST).flatMap((each): readonly Asked[] => {
    const { statement, selected, table } = each;
    if ((statement.kind !== 'masquerade' && statement.kind !== 'snat') || isOurs(table)) return [];
    const { source, oif } = selected;
    if (source === undefined || source.length === 0) return [];
    const { family } = source.address;
    const from = addAddress(source.address, source.length >= (family === 4 ? 31 : 127) ? 0n : 2n);
    const to = chooseOutsiders(network)[family];
    const back = lookupRoute(simulated.routes, { destination: from });
    if (back.kind !== 'route' || back.gateway !== undefined || back.link === oif || containsAddress(source, to))
      return [];
    const flow = {
      from: { kind: 'beyond' as const, host, link: back.link, address: from },
      ...{ to, port: 443, protocol: 'tcp' as const },
    };
    const trace = simulate(network, flow, { hops: true });
    return [{ flow, who: 'neighbour', trace, meant: { kind: 'snat', rule: printTranslating(each) } }];
  });
}

/** `TCP from 203.0.113.77 by eth0 to 10.0.1.5 port 9000`. */
export const printAsked = ({ flow: { from, to, port, protocol } }: Asked): string =>
  `${protocol.toUpperCase()} from ${printAddress(from.address)} by ${from.link} to ${printAddress(to)} port ${port}`;
