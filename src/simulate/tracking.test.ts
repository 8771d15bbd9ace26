/** What of a ruleset makes the kernel track connections: the model says so of the same rulesets. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readIptablesSave } from '../iptables/index.ts';
import { type Namespace, startNamespace } from '../lab/index.ts';
import { readRuleset, type Table } from '../nftables/index.ts';
import { asksConntrack } from './tracking.ts';

const RULES: readonly (readonly [rule: string, tracks: boolean])[] = [
  ['counter', false],
  ['ct state new', true],
  ['meta mark set ct mark', true],
  ['notrack', false],
  ['limit rate over 10 mbytes/second drop', false],
  ['log prefix "x"', false],
  ['exthdr frag exists drop', false],
  ['frag frag-off 5 drop', false],
  ['socket transparent 1', false],
  ['add @s { ip saddr limit rate over 9/second }', false],
  ['add @s { ip saddr ct count over 9 }', true],
  ['quota name "q"', false],
  ['ct helper set "h"', true],
  ['ct count over 5', true],
  ['ct label 7', true],
  ['tcp flags syn synproxy mss 1460 wscale 7', true],
  ['fib saddr oif missing', false],
];
const OBJECTS: readonly (readonly [object: string, tracks: boolean])[] = [
  ['counter c { }', false],
  ['quota q2 { over 5 mbytes; }', false],
  ['limit l { rate 5/second; }', false],
  ['ct helper h2 { type "tftp" protocol udp; }', true],
  ['ct timeout t { protocol udp; policy = { replied : 100 }; }', true],
  ['ct expectation e { protocol tcp; dport 5; timeout 5s; size 5; l3proto ip6; }', true],
];
const IPTABLES: readonly (readonly [rule: string, tracks: boolean])[] = [
  ['-j LOG', false],
  ['-m frag --fragmore', false],
  ['-m time --timestart 08:00', false],
  ['-m string --algo bm --string abc', false],
  ['-m u32 --u32 0=0', false],
  ['-m quota --quota 500', false],
  ['-m physdev --physdev-in x', false],
  ['-m connbytes --connbytes 5 --connbytes-dir both --connbytes-mode bytes', true],
  ['-m connlabel --label 5', true],
  ['-m helper --helper ftp', true],
  ['-m conntrack --ctstate NEW', true],
  ['-m connmark --mark 5', true],
];

let kernel: Namespace;
beforeAll(async () => {
  kernel = await startNamespace();
  await kernel.run(['ip', 'link', 'set', 'lo', 'up']);
});
afterAll(async () => kernel[Symbol.asyncDispose]());

/** What a ping leaves behind. */
async function tracked(): Promise<boolean> {
  await kernel.run(['conntrack', '-F']);
  await kernel.run(['ping', '-c', '1', '-W', '1', '::1'], { allowFailure: true });
  return Number((await kernel.run(['conntrack', '-C'])).stdout) > 0;
}
const told = (tables: readonly Table[]): boolean =>
  asksConntrack({ tables } as Parameters<typeof asksConntrack>[0], 'ip6');

describe('whether the kernel tracks connections for', () => {
  for (const [what, tracks] of [
    ...RULES.map(([rule, is]) => [`chain c { type filter hook input priority 0; ${rule}\n}`, is] as const),
    ...OBJECTS,
  ])
    test(what.replaceAll('\n', ' '), async () => {
      const needs = /"(q|h)"/.exec(what)?.[1];
      const beside =
        needs === 'q' ? 'quota q { 5 mbytes; }' : needs === 'h' ? 'ct helper h { type "tftp" protocol udp; }' : '';
      const set = what.includes('@s') ? 'set s { type ipv4_addr; size 9; flags dynamic; }' : '';
      await kernel.run(['nft', '-f', '-'], { stdin: `flush ruleset\ntable inet t { ${beside}\n${set}\n${what}\n}` });
      const tables = readRuleset((await kernel.run(['nft', '-j', 'list', 'ruleset'])).stdout);
      expect([told(tables), tracks]).toEqual([await tracked(), tracks]);
    });
  for (const [what, tracks] of IPTABLES)
    test(`ip6tables ${what}`, async () => {
      await kernel.run(['nft', 'flush', 'ruleset']);
      await kernel.run(['ip6tables', '-A', 'INPUT', ...what.split(' ')]);
      const { stdout } = await kernel.run(['ip6tables-save']);
      const { tables } = readIptablesSave(stdout, { family: 6, origin: 'iptables-nft' });
      expect([told(tables), tracks]).toEqual([await tracked(), tracks]);
    });
});
