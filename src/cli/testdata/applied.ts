/** The hosts of a slim edge as they are after an apply, without any: for what is pure. */
import { compile, declaredFacts } from '../../compile/index.ts';
import type { HostFacts, HostState } from '../../host/index.ts';
import { restoreKey } from '../../plan/index.ts';
import { loadResources, type ResourceSet } from '../../resources/index.ts';
import { type PublicKey, parsePublicKey } from '../../wireguard/index.ts';
import { slimEdgeDocuments } from './cli-lab.ts';

export const declared = slimEdgeDocuments()
  .replace(
    'interfaces: [{ name: eth0, zone: public }]',
    'interfaces: [{ name: eth0, zone: public, addresses: [10.0.0.5/24], outside: { 10.0.0.5: 203.0.113.9 } }]',
  )
  .replace(
    'access: { netns: { name: node } }',
    'access: { netns: { name: node } }\n  interfaces: [{ name: eth0, zone: private, addresses: [192.168.1.20/24] }]',
  )
  .replaceAll(/, "fd90:0::[12]\/64"/g, '');

export function load(text: string): ResourceSet {
  const { set, problems } = loadResources([{ name: 'edge.yaml', text }]);
  if (set === undefined) throw new Error(JSON.stringify(problems));
  return set;
}

function key(letter: string): PublicKey {
  const read = parsePublicKey(`${letter.repeat(42)}A=`);
  if (read === undefined) throw new Error(`no key of ${letter}`);
  return read;
}

export const set = load(declared);
export const compiled = (facts: ReadonlyMap<string, HostFacts>) =>
  compile(set, facts, { setName: 'default', version: '1' }).hosts;
export const sysctls = new Map([
  ['net/ipv4/conf/eth0/forwarding', '0'],
  ['net/ipv6/conf/all/forwarding', '0'],
]);
export const bare = new Map(
  [...set.hosts].map(([name, host]): [string, HostFacts] => {
    const facts = declaredFacts(host);
    return [name, { ...facts, state: { ...facts.state, sysctls } }];
  }),
);

/** The hosts as they are after an apply, each with a change of the test's own. */
export function after(
  change: (state: HostState, host: string) => HostState = (state) => state,
): ReadonlyMap<string, HostFacts> {
  const keyed = new Map<string, HostFacts>();
  for (const [index, [name, facts]] of [...bare].entries()) {
    const links = compiled(bare).get(name)?.keyLinks ?? [];
    keyed.set(name, { ...facts, keys: new Map(links.map((link) => [link, key('ab'[index] ?? 'c')])) });
  }
  const result = new Map<string, HostFacts>();
  for (const [name, facts] of keyed) {
    const wanted = compiled(keyed).get(name);
    if (wanted?.record === undefined) throw new Error(`${name} is to have nothing`);
    const { state: own, record } = wanted;
    const { state } = facts;
    const devices = own.devices.map((device) => ({
      ...device,
      peers: device.peers.map((peer) => ({ ...peer, latestHandshake: 1_000 })),
    }));
    const joined: HostState = {
      links: [...state.links, ...own.links],
      addresses: [...state.addresses, ...own.addresses],
      routes: [...state.routes, ...own.routes],
      rules: [...state.rules, ...own.rules],
      sysctls: new Map([...state.sysctls, ...own.sysctls]),
      devices,
      tables: own.tables,
      accepts: [],
      files: own.files,
    };
    result.set(name, { ...facts, state: change(joined, name), record, restore: restoreKey(own) });
  }
  return result;
}
