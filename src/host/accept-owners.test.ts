/** What is ours among the rules of ufw and firewalld, by their own files. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readIptablesSave } from '../iptables/index.ts';
import { parseAddress } from '../net/index.ts';
import { readRuleset } from '../nftables/index.ts';
import {
  type AcceptTraffic,
  dormantUfw,
  firewalldAccept,
  firewalldWish,
  NO_OWNERS_FILES,
  readAccepts,
  readFirewalld,
  readUfwRules,
  tagOwned,
  type UfwRule,
  ufwWords,
  type WrittenTraffic,
  withoutAccepts,
} from './index.ts';

const far = (text: string) => {
  const address = parseAddress(text);
  if (address === undefined) throw new Error('a constant of the test is wrong');
  return address;
};

const ufwRules = ([4, 6] as const).flatMap((family): readonly UfwRule[] =>
  readUfwRules(
    readFileSync(new URL(`testdata/ufw-user${family === 4 ? '' : '6'}.rules`, import.meta.url), 'utf8'),
    family,
  ),
);

const link = (name: string, direction: 'in' | 'out' = 'in') => ({ kind: 'link', link: name, direction }) as const;

describe('ufw', () => {
  const own = ufwRules.flatMap((each) => (each.own === undefined ? [] : [{ family: each.family, ...each.own }]));
  test('ours are known by their comment, and what they say is in words of its own', () => {
    expect(own).toEqual([
      { family: 4, chain: 'input', traffic: link('sp-wg51820') },
      {
        ...{ family: 4, chain: 'input' },
        traffic: { kind: 'outer', direction: 'in', protocol: 17, port: 51820, peer: far('198.51.100.20') },
      },
      {
        ...{ family: 4, chain: 'output' },
        traffic: { kind: 'outer', direction: 'out', protocol: 47, peer: far('198.51.100.20') },
      },
      { family: 6, chain: 'forward', traffic: link('sp-wg51820', 'out') },
    ]);
    expect(own.map(({ traffic, family }) => ufwWords(traffic, family).join(' '))).toEqual([
      'in on sp-wg51820 from 0.0.0.0/0 to 0.0.0.0/0',
      'in proto udp from 198.51.100.20 to 0.0.0.0/0 port 51820',
      'out proto gre from 0.0.0.0/0 to 198.51.100.20',
      'out on sp-wg51820 from ::/0 to ::/0',
    ]);
  });

  test('a rule of its user’s may be in several lines, and none of it is ours', () => {
    const [, limited] = ufwRules;
    expect(limited).toEqual({ family: 4, lines: ['input', 'input', 'input'] });
  });

  const save = (text: string) =>
    readIptablesSave(`*filter\n:ufw-user-input - [0:0]\n${text}\nCOMMIT\n`, { family: 4, origin: 'iptables-nft' })
      .tables;
  const files = { ...NO_OWNERS_FILES, ufw: ufwRules.filter(({ own: ours }) => ours?.chain === 'input') };
  const standing = save(`-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-user-input -i sp-wg51820 -j ACCEPT
-A ufw-user-input -s 198.51.100.20/32 -p udp -m udp --dport 51820 -j ACCEPT`);

  test('in the kernel they are found by what they say', () => {
    const tagged = tagOwned(standing, files);
    expect(readAccepts(tagged)).toEqual([
      {
        place: { kind: 'ufw', family: 4, chain: 'input', behind: 1 },
        traffic: files.ufw.map(({ own: ours }) => ours?.traffic),
      },
    ]);
    expect(withoutAccepts(tagged)[0]?.chains[0]?.rules).toHaveLength(1);
    expect(readAccepts(tagOwned(standing, NO_OWNERS_FILES))).toEqual([]);
    expect(dormantUfw(tagged, files)).toEqual([]);
  });

  test('while it is off they wait', () => {
    expect(dormantUfw([], files)).toEqual([
      {
        place: { kind: 'ufw', family: 4, chain: 'input', dormant: true },
        traffic: files.ufw.map(({ own: ours }) => ours?.traffic),
      },
    ]);
  });
});

describe('firewalld', () => {
  const traffic: readonly WrittenTraffic[] = [
    link('sp-edge-node'),
    link('sp-wg51820'),
    { kind: 'outer', direction: 'in', protocol: 17, port: 51820 },
    { kind: 'outer', direction: 'in', protocol: 47, peer: far('198.51.100.20') },
    { kind: 'outer', direction: 'in', protocol: 17, port: 4789, peer: far('2001:db8::20') },
  ];
  test('what is written to its files is read back, and a change of somebody’s is seen', () => {
    const { zone, policy } = firewalldWish(traffic);
    expect(readFirewalld(zone, policy)).toEqual(traffic);
    expect(readFirewalld('', '')).toEqual([]);
    expect(readFirewalld(zone.replace('ACCEPT', 'DROP'), policy)).toBeUndefined();
  });

  const table = (rules: string) =>
    readRuleset(
      JSON.stringify({
        nftables: [
          { table: { family: 'inet', name: 'firewalld', handle: 1 } },
          { chain: { family: 'inet', table: 'firewalld', name: 'filter_INPUT_ZONES', handle: 2 } },
          ...JSON.parse(rules).map((expr: unknown) => ({
            rule: { family: 'inet', table: 'firewalld', chain: 'filter_INPUT_ZONES', handle: 3, expr },
          })),
        ],
      }),
    );
  const into = (name: string, zone: string) =>
    `[{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"${name}"}},{"goto":{"target":"filter_IN_${zone}"}}]`;
  const files = { ...NO_OWNERS_FILES, firewalld: [link('sp-a')] };
  const seen = (tables: ReturnType<typeof table>): readonly AcceptTraffic[] =>
    firewalldAccept(tagOwned(tables, files), files).flatMap((each) => each.traffic);

  test('a link of ours stands there where it runs and is in its files', () => {
    expect(seen(table(`[${into('sp-a', 'trusted')}]`))).toEqual([link('sp-a')]);
    expect(seen(table(`[${into('sp-a', 'sallyport')}]`))).toEqual([link('sp-a')]);
    expect(seen(table('[]'))).toEqual([]);
    expect(seen(table(`[${into('sp-b', 'trusted')}]`))).toEqual([
      { kind: 'other', text: 'sp-b, until firewalld reloads' },
    ]);
    expect(seen(table(`[${into('sp-a', 'dmz')}, ${into('eth0', 'trusted')}]`))).toEqual([]);
    expect(seen([])).toEqual([link('sp-a')]); // it does not run
  });
});
