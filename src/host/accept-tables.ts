/** Our accepts among the rules of tables: found by their tag, taken out, put in. */
import type { Chain, Rule, Table } from '../nftables/index.ts';
import {
  ACCEPT_TAG,
  type AcceptPlace,
  acceptRule,
  canBear,
  type ForeignAccept,
  placeKey,
  trafficOf,
  type WrittenTraffic,
} from './accept.ts';
import { ufwChain } from './accept-ufw.ts';
import { isOwnTable } from './own.ts';

const isTagged = ({ comment }: Rule): boolean => comment === ACCEPT_TAG;

/**
 * The place that a chain of others is. Undefined where we do not write: in a table with flags (it may be its owner's alone), and where
 * nft hides what iptables wrote and nothing here can read it.
 */
export function placeIn(
  { family, name, origin, opaque, chains }: Table,
  { name: chain }: Chain,
): AcceptPlace | undefined {
  if (isOwnTable({ family, name })) return undefined;
  if (family === 'inet' && name === 'firewalld' && /^filter_.*_(ZONES|pre)$/.test(chain)) return { kind: 'firewalld' };
  if (opaque.some(isTable)) return undefined;
  if (origin !== undefined) {
    const own = name === 'filter' ? ufwChain(chain) : undefined;
    if (own !== undefined) return { kind: 'ufw', family: family === 'ip6' ? 6 : 4, chain: own };
    const backend = origin === 'iptables-legacy' ? 'legacy' : 'nft';
    return { kind: 'iptables', family: family === 'ip6' ? 6 : 4, backend, table: name, chain };
  }
  if ((family !== 'ip' && family !== 'ip6' && family !== 'inet') || chains.some(hidesRules)) return undefined;
  return { kind: 'nft', family, table: name, chain };
}

const isTable = (json: unknown): boolean => typeof json === 'object' && json !== null && 'table' in json;
const hidesRules = ({ rules }: Chain): boolean =>
  rules.some(({ statements }) =>
    statements.some((each) => each.kind === 'opaque' && JSON.stringify(each.json).startsWith('{"xt"')),
  );

/** What stands in these tables of ours, but for firewalld's. */
export const readAccepts = (tables: readonly Table[]): readonly ForeignAccept[] =>
  tables.flatMap((table) =>
    table.chains.flatMap((chain): readonly ForeignAccept[] => {
      const first = chain.rules.findIndex(isTagged);
      const place = first === -1 ? undefined : placeIn(table, chain);
      if (place === undefined || place.kind === 'firewalld') return [];
      const own = chain.rules.filter(isTagged);
      const isTogether = chain.rules.slice(first, first + own.length).every(isTagged);
      const behind = linesOf(chain.rules.slice(0, first));
      return [{ place: { ...place, ...(isTogether && { behind }) }, traffic: own.map(trafficOf) }];
    }),
  );

/** How many rules their tool counts: iptables may ask more in one than one of ours can. */
const linesOf = (rules: readonly Rule[]): number => rules.filter(({ continued }) => continued !== true).length;

/** The tables as their owners made them. */
export const withoutAccepts = (tables: readonly Table[]): readonly Table[] =>
  tables.map((table) =>
    table.chains.some((chain) => chain.rules.some(isTagged) && placeIn(table, chain) !== undefined)
      ? {
          ...table,
          chains: table.chains.map((chain) =>
            withRules(
              chain,
              chain.rules.filter((each) => !isTagged(each)),
            ),
          ),
        }
      : table,
  );

/** Tables of others with these accepts of ours in them. */
export function withAccepts(tables: readonly Table[], accepts: readonly ForeignAccept[]): readonly Table[] {
  const wanted = new Map(accepts.map((each) => [placeKey(each.place), each]));
  if (wanted.size === 0) return tables;
  return tables.map((table) => ({
    ...table,
    chains: table.chains.map((chain) => {
      const place = placeIn(table, chain);
      const found = place && wanted.get(placeKey(place));
      return found === undefined ? chain : withAccept(chain, found);
    }),
  }));
}

function withAccept(chain: Chain, { place, traffic }: ForeignAccept): Chain {
  const own = traffic.flatMap((each) =>
    each.kind === 'other' || !canBear(place, each) || !isMeant(place, chain, each) ? [] : [acceptRule(each)],
  );
  const lines = chain.rules.flatMap(({ continued }, index) => (continued === true ? [] : [index]));
  const at = lines[place.behind ?? 0] ?? chain.rules.length;
  return withRules(chain, [...chain.rules.slice(0, at), ...own, ...chain.rules.slice(at)]);
}

/** By firewalld's zones it is decided what comes in and what is forwarded, and a tunnel's own packets come in. */
const isMeant = (place: AcceptPlace, { name }: Chain, { kind }: WrittenTraffic): boolean =>
  place.kind !== 'firewalld' || name === 'filter_INPUT_ZONES' || (name === 'filter_FORWARD_ZONES' && kind === 'link');

const withRules = (chain: Chain, rules: readonly Rule[]): Chain => ({ ...chain, rules });
