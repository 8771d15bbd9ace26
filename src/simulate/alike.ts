/** Flows that differ in their ports alone and meet the same fate: one trace stands for all of them. */
import type { Address } from '../net/index.ts';
import { asksWhoAndWhere, type PacketContext, portAnswers, type Tuple, tellsAnswersApart } from '../nftables/index.ts';
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
  const relative = [port, aimPort];
  let all = '';
  for (const name of hosts) {
    const host = network.hosts.get(name);
    if (host === undefined) return undefined;
    const links = linksOf(host);
    const answersDiffer = tellsAnswersApart(host.ruleset);
    for (let end = -1; end < aims.length; end++) {
      const destination = aims[end] ?? to;
      const destinationPort = end < 0 ? port : aimPort;
      const original: Tuple = { source, destination, protocol, sourcePort, destinationPort };
      const reply = inverseOf(original);
      const asked = contextOf(host, original, original, reply);
      const answers = portAnswers(host.ruleset, { packet: asked, isAnswer: false, links, relative });
      if (answers === undefined) return undefined;
      all += `${answers} ${portRuleAnswers(host.routes, destination.family, original)}|`;
      if (answersDiffer) {
        const packet = contextOf(host, reply, original, reply);
        all += portAnswers(host.ruleset, { packet, isAnswer: true, links, relative });
      }
      all += ` ${portRuleAnswers(host.routes, source.family, reply)}|`;
    }
  }
  return all;
}

/** Asked for once for each host and each of ten thousand flows. */
const knownLinks = new WeakMap<SimulatedHost, readonly string[]>();

function linksOf(host: SimulatedHost): readonly string[] {
  const known = knownLinks.get(host) ?? [...host.links.keys()];
  knownLinks.set(host, known);
  return known;
}

/** Whether the class of a flow depends on who asks, or may. */
export const dependsOnClient = ({ hosts }: Network, names: readonly string[]): boolean =>
  names.some((name) => {
    const ruleset = hosts.get(name)?.ruleset;
    return ruleset === undefined || asksWhoAndWhere(ruleset);
  });

/** Literals, as there are two of them for each of ten thousand flows. */
const contextOf = (host: SimulatedHost, tuple: Tuple, original: Tuple, reply: Tuple): PacketContext => ({
  source: tuple.source,
  destination: tuple.destination,
  protocol: tuple.protocol,
  sourcePort: tuple.sourcePort,
  destinationPort: tuple.destinationPort,
  family: tuple.destination.family,
  mark: 0,
  connection: { state: 'new', direction: 'original', mark: 0, status: 0, zone: NO_ZONE, original, reply },
  addressType: (address, link) => (host.isLocal(address, link) ? 'local' : 'unicast'),
});

const NO_ZONE = { original: 0, reply: 0 } as const;
