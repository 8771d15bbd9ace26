/** Flows that differ in their ports alone and meet the same fate: one trace stands for all of them. */
import type { Address } from '../net/index.ts';
import { asksWhoAndWhere, type PacketContext, portAnswers, type Tuple } from '../nftables/index.ts';
import { portRuleAnswers } from '../routing/index.ts';
import { SOURCE_PORT } from './flow-packet.ts';
import type { Network, SimulatedHost } from './network.ts';
import { inverseOf, PROTOCOLS } from './packet.ts';

/** A flow to a public port, and where it is expected to be translated to. */
export interface Expectation {
  readonly from: Address;
  readonly to: Address;
  readonly protocol: keyof typeof PROTOCOLS;
  readonly port: number;
  /** Of the client; the one of most flows unless given. */
  readonly sourcePort?: number;
  /** After each translation, in order. */
  readonly aims: readonly Address[];
  readonly aimPort: number;
}

/**
 * A text that is the same for flows between the same addresses whose ports no rule of these hosts, of packets or of routing, tells apart, in request and answer,
 * before and after translation. Undefined where that cannot be told beforehand.
 */
export function portClass(network: Network, hosts: readonly string[], flow: Expectation): string | undefined {
  const { from: source, to, port, sourcePort = SOURCE_PORT, aims, aimPort } = flow;
  const protocol = PROTOCOLS[flow.protocol];
  const ends = [{ to, port }, ...aims.map((aim) => ({ to: aim, port: aimPort }))];
  const tuples = ends.map(
    (each): Tuple => ({ source, destination: each.to, protocol, sourcePort, destinationPort: each.port }),
  );
  let all = '';
  for (const name of hosts) {
    const host = network.hosts.get(name);
    if (host === undefined) return undefined;
    const links = [...host.links.keys()];
    for (const original of tuples)
      for (const tuple of [original, inverseOf(original)]) {
        const packet = contextOf(host, tuple, original);
        const isAnswer = tuple !== original;
        const answers = portAnswers(host.ruleset, { packet, isAnswer, links, relative: [port, aimPort] });
        if (answers === undefined) return undefined;
        all += `${answers} ${portRuleAnswers(host.routes, tuple.destination.family, tuple)}|`;
      }
  }
  return all;
}

/** Whether the class of a flow depends on who asks, or may. */
export const dependsOnClient = ({ hosts }: Network, names: readonly string[]): boolean =>
  names.some((name) => {
    const ruleset = hosts.get(name)?.ruleset;
    return ruleset === undefined || asksWhoAndWhere(ruleset);
  });

function contextOf(host: SimulatedHost, tuple: Tuple, original: Tuple): PacketContext {
  return {
    ...tuple,
    ...{ family: tuple.destination.family, mark: 0 },
    connection: {
      ...{ state: 'new', direction: 'original', mark: 0, status: 0, zone: { original: 0, reply: 0 } },
      ...{ original, reply: inverseOf(original) },
    },
    addressType: (address, link) => (host.isLocal(address, link) ? 'local' : 'unicast'),
  };
}
