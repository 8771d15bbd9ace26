/** Faults that show in connections which the kernel tracks now. */
import { printAddress, sameAddress } from '../../net/index.ts';
import { address, baseChain, ct, masquerade, match, payload, prefix, rule, symbol } from '../../nftables/index.ts';
import { lookupRoute, printRoute } from '../../routing/index.ts';
import type { Way } from '../../simulate/index.ts';
import type { Examined } from './finding.ts';
import { addTable, endConnection } from './fix.ts';
import { once } from './paths.ts';
import type { Entry, Patient } from './patient.ts';

/** 14: asked from the target's own network, the target answers directly, from an address that was not asked. */
export function hairpinUnanswered(patient: Patient, wayNow: (entry: Entry) => Way | undefined): Examined {
  const { facts, simulated, looks } = patient;
  const { entries } = looks;
  if (entries === undefined) return { unknown: 'tracked connections cannot be read, or are more than 100,000' };
  return once(
    entries.flatMap((entry) => {
      const { original, reply, state, unreplied, text, protocol } = entry;
      const isTranslated = !sameAddress(original.destination, reply.source);
      const isHidden = !sameAddress(original.source, reply.destination);
      if (!isTranslated || isHidden || !unreplied || (protocol === 'tcp' && state !== 'SYN_SENT')) return [];
      const ways = [original.source, reply.source].map((destination) => lookupRoute(simulated.routes, { destination }));
      const [client, target] = ways;
      if (client?.kind !== 'route' || target?.kind !== 'route' || client.link !== target.link) return [];
      if (client.gateway !== undefined || target.gateway !== undefined) return [];
      const own = facts.state.addresses.find(
        ({ link, address, scope }) =>
          link === client.link && scope === 'global' && address.address.family === reply.source.family,
      );
      // One that waits still may be of before the rule that mends it.
      const now = wayNow(entry);
      if (own === undefined || (now !== undefined && !sameAddress(now.packet.source, original.source))) return [];
      const ip = reply.source.family === 4 ? 'ip' : 'ip6';
      return [
        {
          key: `${printAddress(reply.source)} ${reply.sourcePort}`,
          severity: 'error' as const,
          summary: `${printAddress(original.source)} asks ${printAddress(original.destination)} port ${original.destinationPort} and is answered directly by ${printAddress(reply.source)}, on its own network`,
          evidence: [text, printRoute(client.route)],
          why: 'The target and the client are neighbours: the answer does not come back through this host, bears the address of the target instead of the one that was asked, and the client throws it away.',
          fix: addTable(patient, ip, 'hairpin', [
            baseChain(
              'post',
              { type: 'nat', hook: 'postrouting', priority: 99 },
              rule(
                match(payload(ip, 'saddr'), '==', prefix(client.route.destination)),
                match(payload(ip, 'daddr'), '==', address(reply.source)),
                match(ct('status'), 'in', symbol('dnat')),
                masquerade(),
              ),
            ),
          ]),
        },
      ];
    }),
  );
}

/** 8: a flow of UDP that keeps going to where a rule no longer sends. */
export function staleUdpFlow(patient: Patient, wayNow: (entry: Entry) => Way | undefined): Examined {
  const { entries } = patient.looks;
  if (entries === undefined) return { unknown: 'tracked connections cannot be read, or are more than 100,000' };
  return once(
    entries.flatMap((entry) => {
      const { original, reply, protocol, text } = entry;
      if (protocol !== 'udp' || sameAddress(original.destination, reply.source)) return [];
      const now = wayNow(entry);
      if (now === undefined || now.verdict === 'undecided') return [];
      const { destination, destinationPort } = now.packet;
      if (sameAddress(destination, reply.source) && (destinationPort ?? 0) === reply.sourcePort) return [];
      if (now.verdict !== 'exits' && now.verdict !== 'delivered') return [];
      const by = now.hops.find(({ stage, decidedBy }) => stage === 'prerouting' && decidedBy !== '')?.decidedBy;
      return [
        {
          key: text,
          severity: 'error' as const,
          summary: `UDP from ${printAddress(original.source)} port ${original.sourcePort} to ${printAddress(original.destination)} port ${original.destinationPort} still goes to ${printAddress(reply.source)} port ${reply.sourcePort}; a new flow goes to ${printAddress(destination)} port ${destinationPort}`,
          evidence: [text, ...(by === undefined ? [] : [by])],
          why: 'A flow is translated once, when it begins; every packet keeps it alive, and no change of the rules reaches it.',
          fix: [endConnection({ ...original, protocol: 'udp' })],
        },
      ];
    }),
  );
}
