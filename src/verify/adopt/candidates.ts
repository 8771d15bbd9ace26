/** Rules that somebody made by hand for what the documents ask too. */
import type { CompiledHost } from '../../compile/index.ts';
import { type HandMade, type HostFacts, isOwnTable, linesOfChain, targetsOf } from '../../host/index.ts';
import { type Address, containsAddress, type PortRange, printAddress } from '../../net/index.ts';
import type { Chain, Table } from '../../nftables/index.ts';
import { LOCAL_TABLE, MAIN_TABLE, SALLYPORT_PROTOCOL } from '../../routing/index.ts';
import { type Asks, asksOf } from './asks.ts';

export interface Candidate {
  readonly host: string;
  readonly made: HandMade;
  /** Of a rule of iptables. */
  readonly asks?: Asks;
  /** Why it cannot be taken over, whatever it does. */
  readonly unfit?: string;
}

/** The hook of a chain that iptables calls by itself, and what is done there by those that are looked for. */
const PLACES: Readonly<Record<string, Asks['does']>> = {
  'nat prerouting': 'dnat',
  'nat output': 'dnat',
  'nat postrouting': 'source',
  'filter forward': 'accept',
};

/** Those of one host, in the order in which they stand. What speaks of nothing that the documents ask is nobody's affair. */
export function candidatesOn(host: CompiledHost, { state, noFlows }: HostFacts): readonly Candidate[] {
  const interest = interestOf(host);
  const cannot = noFlows === undefined ? {} : { unfit: `its connections cannot be handed over: ${noFlows}` };
  const inTables = state.tables.flatMap((table) =>
    isOwnTable(table)
      ? []
      : table.chains.flatMap((chain) =>
          inChain(table, chain).flatMap(({ made, asks }) => {
            if (!concerns(asks, interest)) return [];
            return [{ host: host.name, made, asks, ...cannot }];
          }),
        ),
  );
  const rules = state.rules.flatMap((rule): readonly Candidate[] => {
    const { from, action, protocol } = rule;
    const isFromUs = from !== undefined && interest.own.some((each) => containsAddress(from, each));
    if (protocol === SALLYPORT_PROTOCOL || !isFromUs || action.kind !== 'lookup') return [];
    if (action.table === MAIN_TABLE || action.table === LOCAL_TABLE || from.length === 0) return [];
    return [{ host: host.name, made: { kind: 'rule', rule }, ...cannot }];
  });
  return [...rules, ...inTables];
}

function inChain(table: Table, chain: Chain): readonly { readonly made: HandMade; readonly asks: Asks }[] {
  const does = chain.kind === 'base' ? PLACES[`${table.name} ${chain.hook}`] : undefined;
  if (does === undefined) return [];
  return linesOfChain(table, chain).flatMap(({ made, rules }) => {
    const [only, more] = rules;
    const asks = only === undefined || more !== undefined ? undefined : asksOf(only);
    // wg-quick takes its own away itself (wg-quick(8)).
    const isWgQuick = only?.comment?.startsWith('wg-quick') === true;
    return asks === undefined || asks.does !== does || isWgQuick ? [] : [{ made, asks }];
  });
}

interface Interest {
  /** Of tunnels; `forwards`: of targets too. */
  readonly links: ReadonlySet<string>;
  readonly targets: readonly Address[];
  readonly forwards: readonly { readonly protocol: 'tcp' | 'udp'; readonly ports: PortRange }[];
  /** Addresses of this host at which a tunnel of the documents brings connections. */
  readonly own: readonly Address[];
}

function interestOf({ share: { tunnels, forwards, accepts } }: CompiledHost): Interest {
  const targets = forwards.flatMap((forward) => targetsOf(forward).map(({ to }) => to));
  const ports = forwards.flatMap(({ protocol, ports: asked, targetPorts }) => [
    { protocol, ports: asked },
    { protocol, ports: targetPorts },
  ]);
  return {
    links: new Set([...tunnels.map(({ link }) => link), ...forwards.flatMap(({ link }) => link ?? [])]),
    targets: [...new Map(targets.map((each) => [printAddress(each), each])).values()],
    forwards: ports,
    own: accepts.flatMap(({ address, behind, moveTo }) => (behind === undefined ? [moveTo ?? address, address] : [])),
  };
}

function concerns({ does, protocol, ports, source, destination, iif, oif }: Asks, interest: Interest): boolean {
  const meetsPorts =
    ports !== undefined &&
    interest.forwards.some(
      (forward) =>
        (protocol === undefined || protocol === forward.protocol) &&
        ports.some(({ first, last }) => first <= forward.ports.last && last >= forward.ports.first),
    );
  if (does === 'dnat') return meetsPorts;
  const meetsTarget = [source, destination].some(
    (prefix) =>
      prefix !== undefined && prefix.length > 0 && interest.targets.some((each) => containsAddress(prefix, each)),
  );
  const isOnLink = [iif, oif].some((link) => link !== undefined && interest.links.has(link));
  return interest.forwards.length > 0 && (meetsTarget || isOnLink || (does === 'accept' && meetsPorts));
}
