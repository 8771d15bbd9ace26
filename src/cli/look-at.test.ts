import { expect, test } from 'vitest';
import { parseAddress, parseEndpoint } from '../net/index.ts';
import { loadResources, type TunnelResource } from '../resources/index.ts';
import type { WireGuardPeer } from '../wireguard/index.ts';
import { type SilentEnd, whatToLookAt } from './silence.ts';

function tunnel(type: string, edge: string, node = ''): TunnelResource {
  const text = ['edge', 'node']
    .map(
      (name) =>
        `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${name} }\nspec: { access: { netns: { name: ${name} } } }\n`,
    )
    .concat(`apiVersion: sallyport.dev/v1alpha1
kind: Tunnel
metadata: { name: t }
spec:
  type: ${type}
  ends:
    - { host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "${edge}" }
    - { host: node, addresses: [10.90.0.2/30, "fd90::2/64"]${node === '' ? '' : `, endpoint: "${node}"`} }
`)
    .join('---\n');
  const { set, problems } = loadResources([{ name: 't.yaml', text }]);
  const found = set?.tunnels.get('t');
  if (found === undefined) throw new Error(JSON.stringify(problems));
  return found;
}

const must = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('a constant of the test is wrong');
  return value;
};
const peer = (sentBytes: number, receivedBytes: number, more: Partial<WireGuardPeer> = {}): SilentEnd => ({
  peer: { publicKey: { pendingHost: 'x', pendingTunnel: 't' }, allowedIps: [], sentBytes, receivedBytes, ...more },
  publicAddresses: [],
});
const called = { keepaliveSeconds: 25, endpoint: must(parseEndpoint('203.0.113.7:443')) };
const at = (address: string) => ({
  inner: must(parseAddress(address)),
  outer: must(parseAddress(address)),
  link: 'eth0',
  dynamic: false,
});

const provider = (address: string, port: number) =>
  `the firewall of edge's provider: it must let in UDP ${port} to ${address}`;
const input = (what: string, host = 'edge') => `the firewall on ${host} itself (INPUT): it must let in ${what}`;

for (const [what, given, ends, lines] of [
  [
    'a name as endpoint, with the address it was resolved to, and the addresses that the host has',
    tunnel('WireGuard', 'vpn.example.com:443'),
    [{ ...peer(0, 0), publicAddresses: [at('198.51.100.10')] }, peer(148, 0, called)],
    [
      provider('vpn.example.com, now 203.0.113.7', 443),
      input('UDP 443'),
      "whether vpn.example.com, now 203.0.113.7 is edge's address as the Internet sees it; it has 198.51.100.10",
    ],
  ],
  [
    'nothing was sent',
    tunnel('WireGuard', '198.51.100.10:51820'),
    [peer(0, 0), peer(0, 0, called)],
    ['the way from node to 198.51.100.10: it has sent nothing there (a route, a firewall on its way out)'],
  ],
  [
    'nobody calls by itself',
    tunnel('WireGuard', '198.51.100.10:51820'),
    [peer(0, 0), peer(0, 0)],
    ['node calls edge only when it has something to send: neither end has a keepalive'],
  ],
  [
    'it worked before: what was counted then proves nothing',
    tunnel('WireGuard', '198.51.100.10:51820'),
    [peer(9_000, 9_000, { latestHandshake: 7 }), peer(9_000, 9_000, { ...called, latestHandshake: 7 })],
    [
      'the line of node: it worked before',
      provider('198.51.100.10', 51820),
      input('UDP 51820'),
      "whether 198.51.100.10 is edge's address as the Internet sees it",
    ],
  ],
  [
    'the rule that stops it on the host itself',
    tunnel('WireGuard', '198.51.100.10:51820'),
    [{ ...peer(0, 0), stopped: 'edge drops it in input: ip filter INPUT: drop' }, peer(148, 0, called)],
    [
      provider('198.51.100.10', 51820),
      'the firewall on edge itself (INPUT): edge drops it in input: ip filter INPUT: drop',
      "whether 198.51.100.10 is edge's address as the Internet sees it",
    ],
  ],
  [
    'VXLAN, both ways',
    tunnel('VXLAN', '198.51.100.10', '192.0.2.140'),
    [{ publicAddresses: [] }, { publicAddresses: [] }],
    [
      "the firewall of edge's provider: it must let in UDP 4789 from 192.0.2.140 to 198.51.100.10",
      input('UDP 4789'),
      "the firewall of node's provider: it must let in UDP 4789 from 198.51.100.10 to 192.0.2.140",
      input('UDP 4789', 'node'),
    ],
  ],
] as const)
  test(what, () => expect(whatToLookAt(given, ends)).toEqual(lines));

for (const [type, what] of [
  ['IPIP', 'IP protocol 4 (IPIP) and IP protocol 41 (IPv6 in IP)'],
  ['GRE', 'IP protocol 47 (GRE)'],
] as const)
  test(`${type} by the numbers of its protocols`, () => {
    const lines = whatToLookAt(tunnel(type, '198.51.100.10', '192.0.2.140'), [
      { publicAddresses: [] },
      { publicAddresses: [] },
    ]);
    expect(lines[0]).toBe(`the firewall of edge's provider: it must let in ${what} from 192.0.2.140 to 198.51.100.10`);
  });
