/** The witness that stands on a host: its way out, its resolver, and the far ends of tunnels that no change is about. */
import { isDeepStrictEqual } from 'node:util';
import type { HostFacts, TunnelShare } from '../host/index.ts';
import { type Address, addressBits, addressScope, printAddress } from '../net/index.ts';
import { MAIN_TABLE } from '../routing/index.ts';
import { END_UNHEARD, script } from '../transport/index.ts';
import type { Witness } from './check-held.ts';
import type { ManagedHost } from './observe.ts';
import type { HostPlan } from './prepare.ts';

/**
 * NAME, then FAMILY ADDRESS LINK for each that is asked for an echo, LINK empty where the route decides: a line `name`, or the number of the
 * address, once it has answered. Who has no ping, neither getent nor nslookup, says nothing of it.
 */
export const ASK_AROUND = `${END_UNHEARD}
until_it_is() { while ! "$@" >/dev/null 2>&1; do sleep 0.3; done; }
say() { w=$1; shift; until_it_is "$@" && echo "$w"; }
export RES_OPTIONS='timeout:1 attempts:2'
p= i=0
if command -v getent >/dev/null; then say name getent hosts "$1" & p=$!
elif command -v nslookup >/dev/null; then say name nslookup "$1" & p=$!
fi
shift
command -v ping >/dev/null || shift "$#"
while [ "$#" -ge 3 ]; do
  say "$i" ping "-$1" -c 1 -W 1 \${3:+-I "$3"} "$2" &
  p="$p $!" i=$((i+1)); shift 3
done
wait $p`;

/**
 * Reserved names (RFC 2606) that IANA keeps, each with both kinds of addresses. Another one after the change: what was asked before it may be
 * answered from a cache though no server is reached any more.
 */
const NAMES = { before: 'example.com', after: 'example.net' } as const;

/** Of a hub with a thousand tunnels some. */
const MOST_TUNNELS = 32;

interface Asked {
  readonly what: string;
  readonly address: Address;
  readonly link: string;
}

/** What is asked on one host before its change, or after it. */
export const aroundHost =
  ({ name, transport }: ManagedHost, plan: HostPlan, when: keyof typeof NAMES): Witness =>
  (answers, signal) => {
    const asked = [...gatewaysOf(plan.facts), ...farEndsOf(plan)];
    const words = asked.flatMap(({ address, link }) => [String(address.family), printAddress(address), link]);
    const onLine = (line: string): void => {
      const what = line === 'name' ? 'its resolver' : asked[Number(line)]?.what;
      if (what !== undefined) answers(`${name}: ${what}`);
    };
    return transport.follow(script(ASK_AROUND, NAMES[when], ...words), onLine, signal);
  };

/** One that is asked from an address of its own link: without such an address, one that the change brings would ask in its place. */
function gatewaysOf({ state }: HostFacts): readonly Asked[] {
  const isAskedByLink = (gateway: Address, by: string): boolean =>
    addressScope(gateway) === 'linkLocal' ||
    state.addresses.some(
      ({ link, scope, address }) => link === by && scope === 'global' && address.address.family === gateway.family,
    );
  return state.routes.flatMap(({ destination, table, type, gateway, link, nexthops }) => {
    if (destination.length > 0 || table !== MAIN_TABLE || type !== 'unicast') return [];
    return (nexthops ?? [{ gateway, link }]).flatMap(({ gateway: address, link = '' }) =>
      address === undefined || !isAskedByLink(address, link)
        ? []
        : [{ what: `its gateway ${printAddress(address)}`, address, link }],
    );
  });
}

/** Of tunnels that stay as they are, ours and those of others that lead to single addresses. */
function farEndsOf({ facts, aim }: HostPlan): readonly Asked[] {
  const stays = (set: string, tunnel: TunnelShare): boolean =>
    aim.record?.sets.get(set)?.tunnels.some((each) => isDeepStrictEqual(each, tunnel)) === true;
  const ours = [...(facts.record?.sets ?? [])].flatMap(([set, { tunnels }]) =>
    tunnels
      .filter((tunnel) => stays(set, tunnel))
      .flatMap(({ peer, link }) => peer.addresses.map((address) => ({ address, link }))),
  );
  const others = facts.state.devices
    .filter(({ link }) => !link.startsWith('sp-') && facts.state.links.some(({ name }) => name === link))
    .flatMap(({ link, peers }) =>
      peers
        .flatMap(({ allowedIps }) => allowedIps)
        .filter(({ address, length }) => length === addressBits(address.family))
        .map(({ address }) => ({ address, link })),
    );
  return [...ours, ...others]
    .slice(0, MOST_TUNNELS)
    .map((each) => ({ ...each, what: `${printAddress(each.address)} behind ${each.link}` }));
}
