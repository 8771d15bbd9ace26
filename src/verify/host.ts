/** What stands for a host as a whole: what it did not forward before us it does not forward because of us. */
import type { Compiled, CompiledHost } from '../compile/index.ts';
import type { HostFacts } from '../host/index.ts';
import { addAddress, type Family } from '../net/index.ts';
import { type Flow, printPacket, simulate } from '../simulate/index.ts';
import { neighbourOn } from './outsider.ts';
import { concluded, type Finding, fulfilled, type Ground, type Promised } from './promise.ts';
import { hostVows } from './vows.ts';

/** One promise for each host with forwards whose public links carried nothing before. */
export const hostPromises = (ground: Ground, compiled: Compiled): readonly Promised[] =>
  [...compiled.hosts.values()].flatMap((host) => {
    const facts = ground.facts.get(host.name);
    const findings = facts === undefined ? [] : strangerFindings(ground, host, facts);
    if (findings.length === 0) return [];
    return [concluded(ground, `Host/${host.name}`, hostVows.noRouter(host.name), findings)];
  });

function strangerFindings(ground: Ground, { name, share }: CompiledHost, facts: HostFacts): readonly Finding[] {
  const links = new Map(
    share.forwards.flatMap(({ publicLinks, to }) =>
      publicLinks.map((link) => [`${link} ${to.family}`, { link, family: to.family }]),
    ),
  );
  return [...links.values()].flatMap(({ link, family }): readonly Finding[] => {
    if (forwardedBefore(facts, family, link) !== false) return [];
    const outsider = ground.outsiders[family];
    const source = neighbourOn(ground.network, name, link, family, outsider);
    // To somebody on the Internet beyond, as a neighbour would who takes the edge for a router.
    const flow: Flow = {
      from: { kind: 'beyond', host: name, link, address: source },
      to: addAddress(outsider, 1n),
      port: 443,
      protocol: 'tcp',
    };
    const { request } = simulate(ground.network, flow);
    if (request.verdict === 'exits' || (request.verdict === 'delivered' && request.host !== name)) {
      return [{ holds: false, flow, reason: `${printPacket(request.packet)} is forwarded` }];
    }
    return [request.verdict === 'undecided' ? { holds: 'undecided', flow, reason: request.reason ?? '' } : fulfilled];
  });
}

/** Undefined where nobody looked. */
function forwardedBefore({ state, record }: HostFacts, family: Family, link: string): boolean | undefined {
  const path = `net/ipv${family}/conf/${family === 4 ? link : 'all'}/forwarding`;
  const value = record?.sysctlsBefore.get(path) ?? state.sysctls.get(path);
  return value === undefined ? undefined : value !== '0';
}
