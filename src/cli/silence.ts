/** What to look at where a tunnel's packets do not arrive, the likeliest first. Pure. */
import type { PublicAddress } from '../compile/index.ts';
import { isAddress, printAddress, printEndpoint, sameAddress } from '../net/index.ts';
import type { TunnelResource } from '../resources/index.ts';
import type { WireGuardPeer } from '../wireguard/index.ts';

/** One end of a tunnel as it was seen; `peer` is the other end as this host's WireGuard knows it. */
export interface SilentEnd {
  readonly peer?: WireGuardPeer;
  /** It was seen that nothing arrives here. */
  readonly isDeaf?: boolean;
  readonly publicAddresses: readonly PublicAddress[];
  /** The rule on this host that stops the tunnel's own packets, as it is simulated. */
  readonly stopped?: string;
}

/** The evidence of one end, for a reason in brackets; empty where nobody counted. */
export function evidence({ sentBytes, receivedBytes, endpoint }: WireGuardPeer): string {
  if (sentBytes === undefined || receivedBytes === undefined) return '';
  const to = endpoint === undefined ? '' : ` to ${printEndpoint(endpoint)}`;
  const sent = sentBytes === 0 ? 'nothing sent' : `${sentBytes} bytes sent${to}`;
  return ` (${sent}, ${receivedBytes === 0 ? 'nothing received' : `${receivedBytes} bytes received`})`;
}

/** Sentences, in the order in which to look. */
export function whatToLookAt(tunnel: TunnelResource, ends: readonly [SilentEnd, SilentEnd]): readonly string[] {
  switch (tunnel.type) {
    case 'WireGuard':
      return tunnel.ends.flatMap((_, index) => (index === 0 ? called(tunnel, ends, 0) : called(tunnel, ends, 1)));
    case 'VXLAN':
    case 'IPIP':
    case 'GRE':
      return tunnel.ends.flatMap(({ host, endpoint, listenPort }, index) => {
        if (ends[index]?.isDeaf !== true && ends.some(({ isDeaf }) => isDeaf === true)) return [];
        const far = tunnel.ends[1 - index]?.endpoint;
        const what = outerWords(tunnel, listenPort ?? endpoint?.port);
        const between = `${far === undefined ? '' : ` from ${printHost(far)}`}${endpoint === undefined ? '' : ` to ${printHost(endpoint)}`}`;
        return [
          `the firewall of ${host}'s provider: it must let in ${what}${between}`,
          input(host, what, ends[index]?.stopped),
        ];
      });
    case 'Direct':
      return [
        `the network between ${tunnel.ends[0].host} and ${tunnel.ends[1].host}: their addresses do not answer there`,
      ];
  }
}

/** What may stop the calls to end `to`, or its answers. */
function called(tunnel: TunnelResource, ends: readonly [SilentEnd, SilentEnd], to: 0 | 1): readonly string[] {
  const { host, endpoint, listenPort } = tunnel.ends[to];
  if (endpoint === undefined) return [];
  const caller = tunnel.ends[to === 0 ? 1 : 0].host;
  const calls = ends[to === 0 ? 1 : 0].peer;
  const heard = ends[to].peer;
  const known = calls?.endpoint;
  const at = printHost(endpoint);
  const resolved = isAddress(endpoint.host) || known === undefined ? '' : `, now ${printHost(known)}`;
  // What was counted while it worked says nothing of now.
  const worked = calls?.latestHandshake !== undefined || heard?.latestHandshake !== undefined;
  if (!worked && calls?.sentBytes === 0)
    return calls.keepaliveSeconds === undefined
      ? [`${caller} calls ${host} only when it has something to send: neither end has a keepalive`]
      : [`the way from ${caller} to ${at}${resolved}: it has sent nothing there (a route, a firewall on its way out)`];
  if (!worked && (heard?.receivedBytes ?? 0) > 0)
    return [
      `the way back from ${host} to ${caller}: the calls arrive, the answers do not`,
      `a firewall on ${host} (OUTPUT) or of its provider: it must let out UDP from port ${listenPort ?? endpoint.port}`,
      `the firewall on ${caller} or of its provider: answers to its own UDP must come in`,
    ];
  const what = `UDP ${listenPort ?? endpoint.port}`;
  const address = isAddress(endpoint.host) ? endpoint.host : known?.host;
  const seen = ends[to].publicAddresses;
  const isTheirs = address !== undefined && isAddress(address) && seen.some(({ outer }) => sameAddress(outer, address));
  const has =
    seen.length === 0 || isTheirs ? '' : `; it has ${seen.map(({ outer }) => printAddress(outer)).join(', ')}`;
  return [
    ...(worked ? [`the line of ${caller}: it worked before`] : []),
    `the firewall of ${host}'s provider: it must let in UDP ${endpoint.port} to ${at}${resolved}`,
    input(host, what, ends[to].stopped),
    `whether ${at}${resolved} is ${host}'s address as the Internet sees it${has}`,
  ];
}

const input = (host: string, what: string, stopped: string | undefined): string =>
  `the firewall on ${host} itself (INPUT): ${stopped ?? `it must let in ${what}`}`;

const printHost = ({ host }: { readonly host: Parameters<typeof printAddress>[0] | string }): string =>
  typeof host === 'string' ? host : printAddress(host);

/** Protocol numbers as providers ask for them: RFC 2003, 4213, 2784. */
function outerWords({ type, families }: TunnelResource, port: number | undefined): string {
  if (type === 'GRE') return 'IP protocol 47 (GRE)';
  if (type !== 'IPIP') return `UDP ${port ?? ''}`.trim();
  return families
    .map((family) => (family === 4 ? 'IP protocol 4 (IPIP)' : 'IP protocol 41 (IPv6 in IP)'))
    .join(' and ');
}
