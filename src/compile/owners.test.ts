/** Where ufw and firewalld would stop us: by their own rules where they have words for it, and left alone while they are off. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { dormantUfw, type HostFacts, NO_OWNERS_FILES, printAccept, printPlace, readUfwRules } from '../host/index.ts';
import { readIptablesSave } from '../iptables/index.ts';
import { readRuleset, type Table } from '../nftables/index.ts';
import { loadResources } from '../resources/index.ts';
import { compile } from './index.ts';
import { edge, node } from './testdata/facts.ts';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const UFW: readonly Table[] = ([4, 6] as const).flatMap((family) => {
  const file = `../iptables/testdata/ufw-0.36/${family === 4 ? 'iptables' : 'ip6tables'}.save`;
  return readIptablesSave(read(file), { family, origin: 'iptables-nft' }).tables;
});
const FIREWALLD = readRuleset(read('../nftables/testdata/firewalld-1.3.json'));

const documents = (type: string): string => `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: edge }
spec: { access: { netns: { name: edge } } }
---
apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: node }
spec: { access: { netns: { name: node } } }
---
apiVersion: sallyport.dev/v1alpha1
kind: Tunnel
metadata: { name: t }
spec:
  type: ${type}
  ends:
    - { host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "198.51.100.10${type === 'WireGuard' ? ':51820' : ''}" }
    - { host: node, addresses: [10.90.0.2/30, "fd90::2/64"]${type === 'WireGuard' ? '' : ', endpoint: "192.168.1.20"'} }
---
apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: web }
spec: { at: { hosts: [edge] }, ports: [{ protocol: TCP, port: 80 }], to: [{ host: node }] }
`;

const state = (at: 'edge' | 'node', change: Partial<HostFacts['state']>, type = 'WireGuard') => {
  const { set } = loadResources([{ name: 'test.yaml', text: documents(type) }]);
  if (set === undefined) throw new Error('the documents of the test are wrong');
  const facts = { edge: edge(), node: node() };
  const hosts = new Map(
    (['edge', 'node'] as const).map((name) => [
      name,
      name === at ? { ...facts[name], state: { ...facts[name].state, ...change } } : facts[name],
    ]),
  );
  const found = compile(set, hosts, { setName: 'default', version: '0.0.0' }).hosts.get(at)?.state;
  if (found === undefined) throw new Error(`no ${at}`);
  return found;
};

const accepts = (...given: Parameters<typeof state>): readonly string[] =>
  state(...given).accepts.map((each) => `${printPlace(each.place)}: ${printAccept(each)}`);

describe('by a rule of its own', () => {
  test('ufw', () => {
    expect(accepts('edge', { tables: UFW })).toEqual([
      'ufw, IPv4 input: in proto udp from 0.0.0.0/0 to 0.0.0.0/0 port 51820 (behind 9)',
      'ufw, IPv4 forward: out on sp-wg51820 from 0.0.0.0/0 to 0.0.0.0/0 (behind 1)',
      'ufw, IPv6 forward: out on sp-wg51820 from ::/0 to ::/0 (behind 0)',
    ]);
    expect(accepts('node', { tables: UFW })).toEqual([
      'ufw, IPv4 input: in on sp-t from 0.0.0.0/0 to 0.0.0.0/0 (behind 9)',
      'ufw, IPv6 input: in on sp-t from ::/0 to ::/0 (behind 6)',
    ]);
  });

  test('firewalld, which forwards what was translated by itself', () => {
    expect(accepts('edge', { tables: FIREWALLD })).toEqual(['firewalld: udp dport 51820 (kept)']);
    expect(accepts('node', { tables: FIREWALLD })).toEqual(['firewalld: iifname "sp-t" (kept)']);
  });

  test('what ufw has no word for stands in the chain that iptables made', () => {
    expect(accepts('edge', { tables: UFW }, 'IPIP')).toEqual([
      'ufw, IPv4 input: in proto ipv6 from 192.168.1.20 to 0.0.0.0/0 (behind 9)',
      'iptables -t filter INPUT: -s 192.168.1.20 -p 4 (behind 6)',
      'ufw, IPv4 forward: out on sp-t from 0.0.0.0/0 to 0.0.0.0/0 (behind 1)',
      'ufw, IPv6 forward: out on sp-t from ::/0 to ::/0 (behind 0)',
    ]);
  });
});

test('what stands in ufw while it is off stays as far as it is of use', () => {
  const tuple = (link: string) =>
    `### tuple ### allow any any 0.0.0.0/0 any 0.0.0.0/0 in_${link} comment=73616c6c79706f7274\n-A ufw-user-input -i ${link} -j ACCEPT\n\n`;
  const ufw = readUfwRules(`${tuple('sp-t')}${tuple('sp-gone')}### END RULES ###`, 4);
  const dormant = dormantUfw([], { ...NO_OWNERS_FILES, ufw });
  expect(accepts('node', { accepts: dormant })).toEqual([
    'ufw, IPv4 input: in on sp-t from 0.0.0.0/0 to 0.0.0.0/0 (kept)',
  ]);
});

test('where firewalld asks if an answer would go back by the link, what a tunnel brings bears the mark of its answers meanwhile', () => {
  const chains = (tables: readonly Table[]) =>
    (state('node', { tables }).tables[0]?.chains ?? []).flatMap((chain) =>
      chain.kind === 'base' && chain.hook === 'prerouting' ? [`${chain.name} ${chain.priority}`] : [],
    );
  const asked = ['sp_asked -149', 'sp_answered 2147483647'];
  expect(chains(FIREWALLD)).toEqual(expect.arrayContaining(asked));
  expect(chains(UFW).filter((each) => asked.includes(each))).toEqual([]);
});
