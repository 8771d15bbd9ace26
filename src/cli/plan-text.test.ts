import { describe, expect, test } from 'vitest';
import type { ChangeReport, HostPlanReport } from './plan-report.ts';
import { type PlanTextOptions, printPlan, printSummary } from './plan-text.ts';

const change = (
  action: ChangeReport['action'],
  object: string,
  name: string,
  before: string | null,
  after: string | null,
): ChangeReport => ({ transactional: object === 'nft', reversible: true, action, object, name, before, after });

const plain: PlanTextOptions = { color: false, full: false, about: new Map(), unreachable: new Map() };
const hostOf = (...changes: readonly ChangeReport[]): HostPlanReport => ({
  ...{ host: 'edge', reachable: true, changes, suspects: [] },
});
const print = (changes: readonly ChangeReport[], options: Partial<PlanTextOptions> = {}): readonly string[] =>
  printPlan({ hosts: [hostOf(...changes)], promises: [] }, { ...plain, ...options }).split('\n');

describe('a line for each change', () => {
  for (const [what, given, line] of [
    ['added', change('add', 'nft', 'element of sp_to4', null, 'a : b'), '  + nft     element of sp_to4: a : b'],
    ['removed', change('remove', 'route', '10.0.0.0/8', '10.0.0.0/8 dev lo', null), '  - route   10.0.0.0/8 dev lo'],
    ['changed', change('change', 'sysctl', 'net.x', '0', '1'), '  ~ sysctl  net.x: 0 -> 1'],
    ['its text is its name', change('add', 'nft', 'table inet x', null, 'table inet x'), '  + nft     table inet x'],
    ['its text begins with the name', change('add', 'link', 'sp-a', null, 'sp-a up'), '  + link    sp-a up'],
    [
      'its text repeats the end of its name',
      change('add', 'rule', 'IPv4 5000', null, '5000: all'),
      '  + rule    IPv4 5000: all',
    ],
    ['several lines', change('add', 'nft', 'chain a', null, 'one\ntwo'), '  + nft     chain a: one ... (2 lines)'],
  ] as const) {
    test(what, () => expect(print([given])[1]).toBe(line));
  }
});

describe('long runs', () => {
  const many = Array.from({ length: 1000 }, (_, index) => change('add', 'nft', 'element of sp_to4', null, `${index}`));
  const other = change('add', 'nft', 'element of sp_to6', null, 'x');
  test('are folded after 20, with a count', () => {
    const lines = print([...many, other]);
    expect(lines.slice(20, 23)).toEqual([
      '  + nft     element of sp_to4: 19',
      '    ... and 980 more of this kind (--full shows all)',
      '  + nft     element of sp_to6: x',
    ]);
  });
  test('stand whole with --full', () => expect(print(many, { full: true })).toHaveLength(1 + 1000 + 3));
});

test('hosts stand apart, with how they are reached and what was chosen', () => {
  const about = new Map([['edge', { access: 'netns edge', notes: ['aims at 192.168.1.20'] }]]);
  expect(print([], { about }).slice(0, 2)).toEqual([
    'edge (netns edge): nothing to change',
    '    aims at 192.168.1.20',
  ]);
});

test('with a host unreachable nothing is planned, and it is said of each', () => {
  const hosts = [hostOf(), { host: 'node', reachable: false, changes: [], suspects: [] }];
  const lines = printPlan(
    { hosts, promises: [] },
    { ...plain, planned: false, unreachable: new Map([['node', 'gone']]) },
  ).split('\n');
  expect(lines).toEqual([
    'edge: not planned',
    'node: unreachable: gone',
    '',
    'Nothing was planned: too little is known.',
    '',
  ]);
});

test('what changed behind our back stands before the changes, with who and the evidence', () => {
  const host: HostPlanReport = {
    ...hostOf(change('add', 'rule', 'IPv4 5001', null, '5001: all')),
    suspects: [
      { did: 'a rule is gone', who: 'networkd', evidence: ['networkd runs here'], changes: 1 },
      { did: 'a peer was added', who: null, evidence: [], changes: 1 },
    ],
  };
  expect(
    printPlan({ hosts: [host], promises: [] }, plain)
      .split('\n')
      .slice(1, 5),
  ).toEqual([
    '    changed behind our back: a rule is gone: looks like networkd',
    '      networkd runs here',
    '    changed behind our back: a peer was added: nobody is known to do that',
    '  + rule    IPv4 5001: all',
  ]);
});

test('colours tell what comes, changes and goes; without them the text is the same', () => {
  const changes = [change('add', 'link', 'a', null, null), change('remove', 'link', 'b', null, null)];
  const colored = print(changes, { color: true }).join('\n');
  expect(colored).toContain('\x1b[32m  + link    a\x1b[39m');
  expect(colored).toContain('\x1b[31m  - link    b\x1b[39m');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escapes are what is taken away
  expect(colored.replace(/\x1b\[\d+m/g, '')).toBe(print(changes).join('\n'));
});

test('the summary counts changes and hosts', () => {
  const hosts = [hostOf(change('add', 'link', 'a', null, null), change('change', 'sysctl', 'b', '0', '1')), hostOf()];
  expect(printSummary({ hosts, promises: [] })).toBe('Plan: 1 to add, 1 to change, 0 to remove on 1 host');
  expect(printSummary({ hosts, promises: [] }, 'Applied')).toBe('Applied: 1 added, 1 changed, 0 removed on 1 host');
  expect(printSummary({ hosts: [hostOf()], promises: [] })).toBe('No changes: the hosts are as the documents say.');
});
