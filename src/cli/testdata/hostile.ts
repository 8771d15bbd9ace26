/** Changes that lock us out of the edge, or may: what no plan of ours has. Each goes by a name, and is the same for the same name. */
import type { HostFacts } from '../../host/index.ts';
import { parseAddress } from '../../net/index.ts';
import {
  accept,
  address,
  type BaseChain,
  baseChain,
  ct,
  drop,
  match,
  meta,
  number,
  payload,
  reject,
  rule,
  type Statement,
  symbol,
  text,
} from '../../nftables/index.ts';
import type { HostChange, HostObject } from '../../plan/index.ts';
import { MAIN_TABLE } from '../../routing/index.ts';
import { randomFrom } from './random.ts';

/** Where the sshd of the lab listens. */
export const SSH_PORT = 2222;

const toSsh = match(payload('tcp', 'dport'), '==', number(SSH_PORT));
const isNew = match(ct('state'), '==', symbol('new'));

const add = (after: HostObject): HostChange => ({ action: 'add', after });

const chains = (...made: readonly BaseChain[]): readonly HostChange[] => [
  add({ kind: 'nft', object: { kind: 'table', family: 'inet', table: 'hostile' } }),
  ...made.map((chain) => add({ kind: 'nft', object: { kind: 'chain', family: 'inet', table: 'hostile', chain } })),
];
const early = (...statements: readonly Statement[]): readonly HostChange[] =>
  chains(baseChain('c', { type: 'filter', hook: 'input', priority: -200 }, rule(...statements)));
const late = (...statements: readonly Statement[]): readonly HostChange[] =>
  chains(baseChain('c', { type: 'filter', hook: 'output', priority: 300 }, rule(...statements)));

const NAMED = {
  'all of ssh is dropped': () => early(toSsh, drop),
  'only connections that stand are let through': () => early(isNew, toSsh, drop),
  'the default route is gone': ({ state }) =>
    state.routes
      .filter(
        ({ destination, table }) =>
          destination.length === 0 && destination.address.family === 4 && table === MAIN_TABLE,
      )
      .map((route) => ({ action: 'remove', before: { kind: 'route', route } })),
  'the reverse path is checked strictly': ({ state }) => setting(state.sysctls, 'net/ipv4/conf/eth0/rp_filter', '1'),
  'the MTU is more than the path takes': ({ state }) =>
    state.links
      .filter(({ name }) => name === 'eth0')
      .map((link) => ({
        action: 'change',
        before: { kind: 'link', link },
        after: { kind: 'link', link: { ...link, mtu: 1500 } },
      })),
  'the resolver is cut off': () => late(match(payload('udp', 'dport'), '==', number(53)), drop),
  'the gateway is cut off': () => late(match(meta('l4proto'), '==', symbol('icmp')), drop),
  'the targets are cut off': () => late(match(payload('tcp', 'dport'), '==', number(8080)), drop),
  'the public ports are cut off': () =>
    chains(
      baseChain(
        'c',
        { type: 'filter', hook: 'prerouting', priority: -199 },
        rule(match(payload('tcp', 'dport'), '==', number(80)), drop),
      ),
    ),
  "another's tunnel is cut off": () => late(match(payload('udp', 'dport'), '==', number(51999)), drop),
} as const satisfies Record<string, (facts: HostFacts) => readonly HostChange[]>;

export type Named = keyof typeof NAMED;
/** `ruleset 7`: drawn from that seed. */
export type Hostile = Named | `ruleset ${number}`;

const isNamed = (name: string): name is Named => Object.hasOwn(NAMED, name);

/** What is done to the edge beside the plan, by a host that was seen as `facts`. */
export const hostileChanges = (name: Hostile, facts: HostFacts): readonly HostChange[] =>
  isNamed(name) ? NAMED[name](facts) : drawRuleset(Number(name.split(' ')[1]));

function setting(sysctls: HostFacts['state']['sysctls'], path: string, value: string): readonly HostChange[] {
  const before = { kind: 'sysctl', path, value: sysctls.get(path) ?? '' } as const;
  return [{ action: 'change', before, after: { ...before, value } }];
}

/** The home router, as the edge sees the node. */
const CLIENT = parseAddress('192.0.2.130');

/** One to three base chains at any hook, of which any packet may find itself dropped: most lock us out, some do not. */
function drawRuleset(seed: number): readonly HostChange[] {
  const random = randomFrom(seed);
  const pick = <T>(from: readonly [T, ...T[]]): T => from[Math.floor(random() * from.length)] ?? from[0];
  const statements = (hook: BaseChain['hook']): readonly Statement[] => {
    const matches: readonly [Statement[], ...Statement[][]] = [
      [],
      [toSsh],
      [match(payload('tcp', 'sport'), '==', number(SSH_PORT))],
      [isNew],
      [isNew, toSsh],
      [match(ct('state'), '==', symbol('established'))],
      [match(meta('l4proto'), '==', symbol('tcp'))],
      [match(meta(hook === 'output' || hook === 'postrouting' ? 'oifname' : 'iifname'), '==', text('eth0'))],
      CLIENT === undefined ? [] : [match(payload('ip', 'saddr'), '==', address(CLIENT))],
    ];
    const refuses = ['input', 'forward', 'output'].includes(hook) ? reject() : drop;
    return [...pick(matches), pick([drop, drop, refuses, accept])];
  };
  const count = 1 + Math.floor(random() * 3);
  return chains(
    ...Array.from({ length: count }, (_, index) => {
      const hook = pick<BaseChain['hook']>(['prerouting', 'input', 'input', 'output', 'forward', 'postrouting']);
      const priority = pick([-300, -199, -150, 0, 50, 300]);
      const policy = pick<BaseChain['policy']>(['accept', 'accept', 'drop']);
      const rules = Array.from({ length: Math.floor(random() * 4) }, () => rule(...statements(hook)));
      return baseChain(`c${index}`, { type: 'filter', hook, priority, policy }, ...rules);
    }),
  );
}
