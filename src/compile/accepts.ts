/**
 * Making way in the firewalls of others: which of their chains would stop what of us, and the accept that lets it through. It stands as
 * late as it can, so that what its owner decides before it stays decided. An accept in one base chain is none in another: each gets its own.
 */
import {
  type AcceptTraffic,
  type ForeignAccept,
  isOwnTable,
  placeIn,
  placeKey,
  printAccept,
  trafficKey,
  type WrittenTraffic,
  withAccepts,
  withoutAccepts,
} from '../host/index.ts';
import { type Address, printAddress } from '../net/index.ts';
import {
  type BaseChain,
  type Chain,
  type Expression,
  evaluate,
  type PacketContext,
  type PreparedRuleset,
  prepareRuleset,
  printReference,
  type RuleReference,
  type Statement,
  type Table,
  type Value,
} from '../nftables/index.ts';
import { type Seen, type Sighting, sightingsOf } from './sightings.ts';

export interface Way {
  readonly accepts: readonly ForeignAccept[];
  /** What would stop us, each rule or policy once for a kind of traffic. */
  readonly stops: readonly Stop[];
}

export interface Stop {
  readonly by: RuleReference;
  readonly traffic: WrittenTraffic;
  /** Absent: nobody but its owner can write there, or no accept would help. */
  readonly accept?: ForeignAccept;
  /** Somebody is let in whom the owner knows, and it may be just who comes. */
  readonly unsure?: true;
}

/** Chooses what is to stand of ours in the chains of others. What is not understood is left alone: the proof says that it is undecided. */
export function makeWay(seen: Omit<Seen, 'tables'>): Way {
  const tables = withoutAccepts(seen.facts.state.tables.filter((table) => !isOwnTable(table)));
  const chains = tables.flatMap((table) =>
    table.chains.flatMap((chain) => (chain.kind === 'base' && mayStop(table, chain) ? [{ table, chain }] : [])),
  );
  const dormant = seen.facts.state.accepts.filter(isDormant);
  if (chains.length + dormant.length === 0) return { accepts: [], stops: [] };
  const sightings = sightingsOf({ ...seen, tables });
  const stops = chains.flatMap(({ table, chain }) =>
    stopsAt(alone(table, chain), chain, sightings, seen.facts.state.accepts),
  );
  const accepts = new Map<string, ForeignAccept>();
  for (const accept of [...stillMeant(dormant, sightings), ...stops.flatMap((stop) => stop.accept ?? [])]) {
    const key = placeKey(accept.place);
    const traffic = [...(accepts.get(key)?.traffic ?? []), ...accept.traffic];
    accepts.set(key, { place: accept.place, traffic: distinctTraffic(traffic) });
  }
  return { accepts: [...accepts.values()], stops };
}

const isDormant = ({ place }: ForeignAccept): boolean => 'dormant' in place && place.dormant === true;

/** Whose owner is off for now: what is said there for the time when it is on again stays, as far as it is still of use. */
function stillMeant(dormant: readonly ForeignAccept[], sightings: readonly Sighting[]): readonly ForeignAccept[] {
  const keys = new Set(sightings.map(({ traffic }) => trafficKey(traffic)));
  return dormant
    .map(({ place, traffic }) => ({ place, traffic: traffic.filter((each) => keys.has(trafficKey(each))) }))
    .filter(({ traffic }) => traffic.length > 0);
}

/** `ip filter FORWARD: policy drop stops what leaves by sp-wg51820`. */
export function printStop({ by, traffic }: Stop): string {
  const handle = by.rule?.handle === undefined ? '' : ` (handle ${by.rule.handle})`;
  return `${printReference(by)}${handle} stops ${printKind(traffic)}`;
}

function printKind(traffic: WrittenTraffic): string {
  switch (traffic.kind) {
    case 'link':
      return `what ${traffic.direction === 'in' ? 'comes' : 'leaves'} by ${traffic.link}`;
    case 'outer': {
      const { direction, protocol, port, peer } = traffic;
      const what = port === undefined ? `of protocol ${protocol}` : `to udp/${port}`;
      return `a tunnel's own packets ${what}${peer === undefined ? '' : ` ${direction === 'in' ? 'from' : 'for'} ${printAddress(peer)}`}`;
    }
    case 'connections':
      return 'connections that we forward or let in';
  }
}

const HOOKS: ReadonlySet<string> = new Set(['prerouting', 'input', 'forward', 'output']);
const FAMILIES: ReadonlySet<string> = new Set(['ip', 'ip6', 'inet']);

/** Whether anything that the chain could run ends a packet's way, or is not understood. */
function mayStop(table: Table, { hook, type, policy }: BaseChain): boolean {
  if (!FAMILIES.has(table.family) || !HOOKS.has(hook) || type === 'nat') return false;
  return policy === 'drop' || table.chains.some(({ rules }) => rules.some(({ statements }) => statements.some(stops)));
}

const stops = (statement: Statement): boolean =>
  statement.kind === 'verdict'
    ? statement.verdict.kind === 'drop'
    : statement.kind === 'reject' || statement.kind === 'verdictMap' || statement.kind === 'opaque';

/** The table as if the chain were its only one that the kernel calls. */
const alone = (table: Table, chain: BaseChain): Table => ({
  ...table,
  chains: table.chains.filter((each) => each.kind === 'regular' || each === chain),
});

/** netfilter_ipv4.h: before this priority a packet has no connection yet. */
const CONNTRACK = -200;

interface Stopped {
  readonly sighting: Sighting;
  readonly by: RuleReference;
  readonly unsure?: true;
}

function stopsAt(
  table: Table,
  chain: BaseChain,
  sightings: readonly Sighting[],
  standing: readonly ForeignAccept[],
): readonly Stop[] {
  const prepared = prepareRuleset([table]);
  const seen = sightings.flatMap((each) => seenBy(table, chain, each));
  const stopped = seen.flatMap((sighting): readonly Stopped[] => {
    const fate = run(prepared, chain, sighting);
    if ((fate.verdict !== 'drop' && fate.verdict !== 'reject') || fate.decidedBy === undefined) return [];
    const known = sighting.anyone === true ? whoIsLetIn(table, chain, prepared, sighting) : 'nobody';
    if (known === 'by the port') return [];
    return [{ sighting, by: fate.decidedBy, ...(known === 'whatever it asks' && { unsure: true as const }) }];
  });
  const sites = sitesOf(table, chain);
  const placed = stopped.map((each) => ({
    ...each,
    site: sites.find((site) => passes(table, chain, site, 0, [each.sighting])),
  }));
  return [...sites, undefined].flatMap((site) => {
    const here = placed.filter((each) => each.site === site);
    const accept =
      site && here.length > 0
        ? acceptAt(
            table,
            chain,
            site,
            here.map(({ sighting }) => sighting),
            standing,
          )
        : undefined;
    const named = new Map(
      here.map(({ sighting: { traffic }, by, unsure }): [string, Stop] => [
        `${printReference(by)} ${trafficKey(traffic)}`,
        { by, traffic, ...(accept !== undefined && { accept }), ...(unsure && { unsure }) },
      ]),
    );
    return [...named.values()];
  });
}

/** The packet as it comes by the chain, if it does. */
function seenBy({ family }: Table, { hook, priority }: BaseChain, sighting: Sighting): readonly Sighting[] {
  const { packet, from } = sighting;
  const isOfFamily = family === 'inet' || family === (packet.family === 4 ? 'ip' : 'ip6');
  if (sighting.hook !== hook || !isOfFamily || (from !== undefined && priority < from)) return [];
  if (priority >= CONNTRACK || (hook !== 'prerouting' && hook !== 'output')) return [sighting];
  const { connection: _, ...before } = packet;
  return [{ ...sighting, packet: before }];
}

const run = (prepared: PreparedRuleset, { hook }: BaseChain, { packet }: Sighting): ReturnType<typeof evaluate> =>
  evaluate(prepared, { hook, type: 'filter' }, packet);

// ---- where it may stand

/** Chains whose owner says that rules of others belong there, in the table of the chain from which they are called. */
const MEANT: Readonly<Record<'iptables' | 'firewalld', Readonly<Record<string, readonly string[]>>>> = {
  iptables: {
    input: ['ufw-user-input', 'ufw6-user-input'],
    forward: ['DOCKER-USER', 'ufw-user-forward', 'ufw6-user-forward'],
    output: ['ufw-user-output', 'ufw6-user-output'],
  },
  firewalld: { input: ['filter_INPUT_ZONES'], forward: ['filter_FORWARD_ZONES'] },
};

type Site = Pick<ForeignAccept, 'place'> & { readonly chain: Chain };

/** The best first; the last is the chain itself. */
function sitesOf(table: Table, base: BaseChain): readonly Site[] {
  const owner = table.origin !== undefined ? 'iptables' : table.name === 'firewalld' ? 'firewalld' : undefined;
  const names = (owner && MEANT[owner][base.hook]) ?? [];
  const meant = names.flatMap((name) =>
    table.chains.filter((chain) => chain.kind === 'regular' && chain.name === name),
  );
  return [...meant, base].flatMap((chain) => {
    const place = placeIn(table, chain);
    return place === undefined ? [] : [{ place, chain }];
  });
}

/** Whether all of these come through where their accepts stand behind so many of the owner's rules. */
function passes(
  table: Table,
  base: BaseChain,
  { place }: Site,
  behind: number,
  sightings: readonly Sighting[],
): boolean {
  const prepared = prepareRuleset(
    withAccepts([table], [{ place: { ...place, behind }, traffic: trafficOf(sightings) }]),
  );
  return sightings.every((each) => run(prepared, base, each).verdict === 'accept');
}

const trafficOf = (sightings: readonly Sighting[]): readonly WrittenTraffic[] =>
  distinctTraffic(sightings.map(({ traffic }) => traffic));

const distinctTraffic = <T extends AcceptTraffic>(traffic: readonly T[]): readonly T[] =>
  [...new Map(traffic.map((each) => [trafficKey(each), each]))]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, each]) => each);

/** Where it stands already, if it does its work there; else the last place at which it does. */
function acceptAt(
  table: Table,
  base: BaseChain,
  site: Site,
  sightings: readonly Sighting[],
  standing: readonly ForeignAccept[],
): ForeignAccept {
  const works = (behind: number): boolean => passes(table, base, site, behind, sightings);
  const accept = (behind: number): ForeignAccept => ({
    place: { ...site.place, behind },
    traffic: trafficOf(sightings),
  });
  if (site.place.kind === 'firewalld') return { place: site.place, traffic: trafficOf(sightings) };
  const old = standing.find(({ place }) => placeKey(place) === placeKey(site.place));
  if (
    old?.place.behind !== undefined &&
    printAccept(old) === printAccept(accept(old.place.behind)) &&
    works(old.place.behind)
  )
    return accept(old.place.behind);
  // Whoever comes as far as a rule has passed those before it.
  let [least, most] = [0, site.chain.rules.filter(({ continued }) => continued !== true).length];
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (works(middle)) least = middle;
    else most = middle - 1;
  }
  return accept(least);
}

// ---- who dials

/** Any port that nobody opens by itself. */
const OTHER_PORT = 1;

/** Where the owner lets this very port in for somebody, it is known who dials, and everybody is not meant. */
function whoIsLetIn(
  table: Table,
  base: BaseChain,
  prepared: PreparedRuleset,
  { packet, ...rest }: Sighting,
): 'nobody' | 'whatever it asks' | 'by the port' {
  const sources = sourcesIn(table).filter(({ family }) => family === packet.family);
  const letsIn = (source: Address, changed: Partial<PacketContext> = {}): boolean =>
    run(prepared, base, { ...rest, packet: { ...packet, source, ...changed } }).verdict === 'accept';
  const known = sources.filter((source) => letsIn(source));
  if (known.length === 0) return 'nobody';
  const isByPort = known.some((source) => !letsIn(source, { destinationPort: OTHER_PORT }));
  return isByPort ? 'by the port' : 'whatever it asks';
}

/** What the rules of the table ask the source address for, an address of each. */
const sourcesIn = (table: Table): readonly Address[] =>
  table.chains.flatMap(({ rules }) =>
    rules.flatMap(({ statements }) =>
      statements.flatMap((statement): readonly Address[] => {
        if (statement.kind === 'match') return asksSource(statement.left) ? addressesIn(statement.right, table) : [];
        return statement.kind === 'verdictMap' && asksSource(statement.key) ? addressesIn(statement.map, table) : [];
      }),
    ),
  );

function asksSource(expression: Expression): boolean {
  if (expression.kind === 'payload') return expression.field === 'saddr';
  if (expression.kind === 'binary') return asksSource(expression.left);
  return expression.kind === 'join' && expression.parts.some(asksSource);
}

function addressesIn(expression: Expression, table: Table): readonly Address[] {
  const inAll = (elements: readonly { readonly key: Value }[]): readonly Address[] =>
    elements.flatMap(({ key }) => addressesIn(key, table));
  switch (expression.kind) {
    case 'address':
      return [expression.address];
    case 'prefix':
      return [expression.prefix.address];
    case 'range':
      return addressesIn(expression.first, table);
    case 'concat':
      return expression.parts.flatMap((part) => addressesIn(part, table));
    case 'anonymousSet':
    case 'anonymousMap':
      return inAll(expression.elements);
    case 'setReference':
      return [...table.sets, ...table.maps]
        .filter(({ name }) => name === expression.name)
        .flatMap(({ elements }) => inAll(elements));
    default:
      return [];
  }
}
