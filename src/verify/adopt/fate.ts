/** What becomes of a packet, as far as its sender and its receiver notice. */
import { isPublicAddress } from '../../net/index.ts';
import { type Flow, hidesRouter, type Network, printPacket, simulate } from '../../simulate/index.ts';

export interface Fate {
  /** `works` and `leaves` are known whole; of what `fails` it makes no difference why. */
  readonly kind: 'works' | 'leaves' | 'fails' | 'unknown';
  /** The same for the same fate. */
  readonly text: string;
}

const FAILS: Fate = { kind: 'fails', text: 'it is not answered' };

export function fateOf(network: Network, flow: Flow): Fate {
  const { works, request, reply } = simulate(network, flow);
  if (request.verdict === 'exits') {
    // Nobody answers a private address on the Internet.
    const isOpen = network.hosts.get(request.host ?? '')?.openLinks.has(request.link ?? '') === true;
    if (isOpen && !isPublicAddress(request.packet.source)) return FAILS;
    return { kind: 'leaves', text: `it leaves ${request.host} by ${request.link} as ${printPacket(request.packet)}` };
  }
  if (works === true)
    return {
      kind: 'works',
      text: `it reaches ${request.host} as ${printPacket(request.packet)}${reply === undefined ? '' : `, and is answered as ${printPacket(reply.packet)}`}`,
    };
  if (works !== 'undecided' && request.verdict !== 'undecided') return FAILS;
  // Some router translates it on its way, and it comes as a stranger's.
  if (simulate(network, flow, { hops: true }).request.crossings.some(hidesRouter)) return FAILS;
  return { kind: 'unknown', text: `what becomes of it is not known: ${reply?.reason ?? request.reason ?? ''}` };
}
