/** What the gate lets through, word by word. Over a real sshd: cli/agent.test.ts. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { FORMS, NOT_THROUGH_A_GATE } from './forms.ts';
import { isShell, STATE, startJudge } from './testdata/judge.ts';
import { NFT, RESTORE, SAMPLES, STANDING, TOKEN, UNDO } from './testdata/samples.ts';
import { GATE_SCRIPTS, gate } from './text.ts';

const judge = startJudge();
afterAll(() => judge[Symbol.dispose]());

const ARM = ['sh', '-c', '@ARM', 'sh', `${STATE}/pending`, '30000', TOKEN, 'apply', '1'];
const KEY = 'bm9kZW5vZGVub2Rlbm9kZW5vZGVub2Rlbm9kZW5vZGU=';
const FILES = [`${STATE}/record.json`, `${STATE}/undo.sh`];
const write = (name: string, mode = '700') => ['sh', '-c', '@WRITE_FILE', 'sh', `${STATE}/${name}`, mode, '1'];

test('it is a text that a POSIX shell can read', () => {
  expect(isShell(gate().text)).toBe(true);
});

test.each(SAMPLES.map(({ argv, stdin }) => [argv.slice(0, 6).join(' ').slice(0, 90), argv, stdin] as const))(
  'let through: %s',
  (_, argv, stdin) => expect(judge(argv, stdin)).toHaveProperty('runs'),
);

test('what compile writes for hosts of every kind is let through', () => {
  const folder = 'src/compile/testdata';
  const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));
  const lines = files.flatMap((name) => readFileSync(`${folder}/${name}`, 'utf8').split('\n'));
  const of = (pattern: RegExp): readonly string[] => [
    ...new Set(lines.flatMap((line) => pattern.exec(line)?.[1] ?? [])),
  ];
  const rules = of(/^ {4}(?! |\}|type |flags |elements |size |timeout |counter$|hook |devices )([^;]+)$/);
  const elements = of(/^ {4}elements = (\{ .+ \})$/);
  const heads = of(/^ {4}(type \S+ hook .+;)$/);
  expect(rules.length).toBeGreaterThan(60);
  const nft = [
    ...heads.map((head) => `add chain inet sallyport sp_a { ${head} }`),
    ...elements.map((each) => `add element inet sallyport sp_a ${each}`),
    ...rules.map((rule) => `add rule inet sallyport sp_a ${rule}`),
  ];
  expect(judge(['nft', '-f', '-'], `${nft.join('\n')}\n`)).toMatchObject({ runs: expect.anything() });
  const ip = of(/^ip ((?:link|address|route|rule) .+)$/);
  expect(ip.length).toBeGreaterThan(20);
  expect(judge(['ip', '-batch', '-'], `${ip.join('\n')}\n`)).toMatchObject({ runs: expect.anything() });
});

test('a preshared key is laid beside the others, set, and taken away', () => {
  const file = 'keys/edge-node.0123456789abcdef.psk';
  const set = (path: string) => ['wg', 'set', 'sp-a', 'peer', KEY, 'preshared-key', path, 'allowed-ips', '10.0.0.2/32'];
  expect(judge(write(file, '600'), `${KEY}\n`)).toHaveProperty('runs');
  expect(judge(set(`${STATE}/${file}`))).toHaveProperty('runs');
  expect(judge(set('/dev/null'))).toHaveProperty('runs');
});

test('restore.sh and record.json are let through as they are written', () => {
  expect(judge(write('restore.sh'), RESTORE)).toHaveProperty('runs');
  expect(judge(write('record.json', '600'), '{"endpoint":"[2001:db8::1]:51820","a":"x"}\n')).toHaveProperty('runs');
});

test.runIf(spawnSync('busybox', ['awk', '']).status === 0)('the awk of busybox judges alike', () => {
  using other = startJudge(['busybox', 'awk']);
  for (const { argv, stdin } of SAMPLES) expect(other(argv, stdin)).toEqual(judge(argv, stdin));
  expect(other(write('restore.sh'), RESTORE)).toHaveProperty('runs');
  expect(other(['cat', '/etc/shadow'])).toHaveProperty('refused');
});

describe('refused', () => {
  const requests: readonly (readonly [string, readonly string[], string?])[] = [
    ['a shell', ['sh']],
    ['a text of somebody else', ['sh', '-c', 'id']],
    ['a text that is called by no name', ['sh', '-c', '@NOTHING', 'sh']],
    ['a shell of another name', ['bash', '-c', 'id']],
    ['any program', ['cat', '/etc/shadow']],
    ['a private key', ['sh', '-c', '@READ_FILE', 'sh', `${STATE}/keys/sp-wg51820.key`]],
    ['all keys', ['wg', 'show', 'sp-wg51820', 'private-key']],
    ['the dump of wg', ['wg', 'show', 'all', 'dump']],
    ['a file beside the state folder', ['sh', '-c', '@READ_FILE', 'sh', `${STATE}/../x`]],
    ['a look at any file', ['sh', '-c', '@READ_IF_THERE', 'sh', '/etc/shadow']],
    ['a question for what a file says', ['sh', '-c', '@UNLESS_IT_SAYS', 'sh', '/etc/shadow', 'x', 'true']],
    ['a file anywhere', ['sh', '-c', '@WRITE_FILE', 'sh', '/etc/cron.d/x', '600', '1'], 'x\n'],
    ['a file above', write('../x'), 'x\n'],
    ['a key that is brought', write('keys/sp-a.key', '600'), 'x\n'],
    ['a mode for all', write('undo.sh', '4755'), STANDING],
    ['removing another file', ['rm', '-f', '--', '/etc/passwd']],
    ['removing everything', ['rm', '-rf', '--', '/']],
    ['an include', ['nft', '-f', '-'], `${NFT}include "/etc/shadow"\n`],
    ['an include in a chain', ['nft', '-f', '-'], 'add chain inet sallyport sp_a { include "/etc/shadow"; }\n'],
    ['a variable', ['nft', '-f', '-'], 'define a = 1\n'],
    ["another's table", ['nft', '-f', '-'], 'add rule ip filter INPUT accept\n'],
    ["another's table behind ours", ['nft', '-f', '-'], 'add table inet sallyport; delete table ip filter\n'],
    ["another's table behind a brace", ['nft', '-f', '-'], 'add chain inet sallyport sp_a { }; delete table ip nat\n'],
    ['a brace too many', ['nft', '-f', '-'], 'add chain inet sallyport sp_a { }}\ndelete table ip nat\n'],
    ['an open quote', ['nft', '-f', '-'], 'add rule inet sallyport sp_a iifname "a\ndelete table ip nat\n'],
    ['an open brace', ['nft', '-f', '-'], 'add chain inet sallyport sp_a {\n'],
    ['a line that goes on', ['nft', '-f', '-'], 'add table inet sallyport \\\n'],
    ['a comment', ['nft', '-f', '-'], 'add table inet sallyport # x\n'],
    ['a copy of packets', ['nft', '-f', '-'], 'add rule inet sallyport sp_a dup to 192.0.2.1\n'],
    ['all rules flushed', ['nft', '-f', '-'], 'flush ruleset\n'],
    ['a table that is dormant', ['nft', '-f', '-'], 'add table inet sallyport { flags dormant; }\n'],
    ['nft of a file', ['nft', '-f', '/etc/shadow']],
    ["another's link", ['ip', 'link', 'delete', 'dev', 'eth0']],
    ["another's address", ['ip', '-batch', '-'], 'address delete 192.0.2.1/24 dev eth0\n'],
    ["another's route", ['ip', '-batch', '-'], 'route delete 0.0.0.0/0 via 192.0.2.1 table 254\n'],
    [
      "another's route, replaced",
      ['ip', '-batch', '-'],
      'route replace 0.0.0.0/0 via 192.0.2.9 table 254 protocol 83\n',
    ],
    ['a route of another protocol', ['ip', '-batch', '-'], 'route add 192.0.2.0/24 dev lo table 254 protocol 2\n'],
    ["another's rule", ['ip', '-batch', '-'], 'rule delete priority 32766 lookup 254\n'],
    ['a command in a namespace', ['ip', '-batch', '-'], 'netns exec a sh\n'],
    ['a command in a vrf', ['ip', 'vrf', 'exec', 'a', 'sh']],
    ['a batch in a file', ['ip', '-batch', '/etc/shadow']],
    [
      'a line that is whole by the words of the one before',
      ['ip', '-batch', '-'],
      'address delete 192.0.2.1/24 dev sp-a\naddress delete 192.0.2.1/24\n',
    ],
    ['a link that goes elsewhere', ['ip', '-batch', '-'], 'link set dev sp-a netns 1\n'],
    ['a line of ip that goes on', ['ip', '-batch', '-'], 'link delete dev sp-a\\\n'],
    ['a key in any file', ['wg', 'set', 'sp-a', 'private-key', '/etc/shadow']],
    ["another link's key", ['wg', 'set', 'sp-a', 'private-key', `${STATE}/keys/sp-b.key`]],
    ['a preshared key in any file', ['wg', 'set', 'sp-a', 'peer', KEY, 'preshared-key', '/etc/shadow']],
    ['a preshared key elsewhere', write('keys/../../x.0123456789abcdef.psk', '600'), `${KEY}\n`],
    ['a private key in its place', write('keys/sp-a.key', '600'), `${KEY}\n`],
    ['a preshared key that is none', write('keys/a.0123456789abcdef.psk', '600'), 'reboot\n'],
    ['two preshared keys', write('keys/a.0123456789abcdef.psk', '600'), `${KEY}\n${KEY}\n`],
    ["another's WireGuard", ['wg', 'set', 'wg0', 'listen-port', '1']],
    ['a setting of no network', ['sh', '-c', '@PUT_SYSCTLS', 'sh', 'kernel/core_pattern', '|/bin/sh']],
    ['a setting above', ['sh', '-c', '@PUT_SYSCTLS', 'sh', 'net/ipv4/conf/../../../kernel/core_pattern', '1']],
    ['a value that is none', ['sh', '-c', '@PUT_SYSCTLS', 'sh', 'net/ipv4/ip_forward', '$(id)']],
    ['ends of all flows', ['sh', '-c', '@END_FLOWS', 'sh', 'each'], '-F\n'],
    [
      'an end of flows without a mark',
      ['sh', '-c', '@END_FLOWS', 'sh', 'each'],
      '-D -p tcp -m 0x0/0x0 --reply-src 10.0.0.1\n',
    ],
    [
      'a unit of somebody else',
      ['sh', '-c', '@CHANGE_DAEMON_FILES', 'sh', STATE, 'systemd', 'x', '/etc/systemd/system/x.service', 'x'],
    ],
    ['a change among questions', ['sh', '-c', '@SEVERAL', 'sh', '1', '3', 'nft', '-f', '-']],
    ['a shell among questions', ['sh', '-c', '@SEVERAL', 'sh', '1', '3', 'sh', '-c', 'id']],
    ['questions that are fewer than said', ['sh', '-c', '@SEVERAL', 'sh', '2', '1', 'id']],
    ['a question as a change', ['sh', '-c', '@GUARD', 'sh', `${STATE}/pending`, TOKEN, '1', 'sh', '-c', 'id']],
    ['arming within a change', ['sh', '-c', '@GUARD', 'sh', `${STATE}/pending`, TOKEN, '1', ...ARM, ...FILES], UNDO],
    ['a folder elsewhere', ['sh', '-c', '@BEAT', 'sh', '/tmp/pending', TOKEN]],
    [
      'a token that is a path',
      ['sh', '-c', '@BEAT', 'sh', `${STATE}/pending`, '../../../../../../../../tmp/armed/xxxx'],
    ],
    ['a way back that is no file of the state', [...ARM, '/etc/shadow'], UNDO],
    ['a way back with a line more', [...ARM, ...FILES], `${UNDO}reboot\n`],
    ['a way back with a line before', [...ARM, ...FILES], UNDO.replace('#!/bin/sh\n', '#!/bin/sh\nreboot\n')],
    ['a way back of another command', [...ARM, ...FILES], UNDO.replace("back 'nft' '-f' '-'", "back 'reboot'")],
    ['a way back behind a quote', [...ARM, ...FILES], UNDO.replace("back 'nft'", "back 'nft';reboot '")],
    ['a way back behind what it reads', [...ARM, ...FILES], UNDO.replace("<<'END_", "; reboot <<'END_")],
    ['a file in the place of another', [...ARM, ...FILES.toReversed()], UNDO],
    ['a file that was not kept', ARM, UNDO],
    ['an undo.sh with a line more', write('undo.sh'), `${STANDING}reboot\n`],
    [
      'an undo.sh whose setting is in a quote',
      write('undo.sh'),
      STANDING.replace('rules=$(nft', "try put 'net/ipv4/ip_forward' '1'\nrules=$(nft"),
    ],
    ['an undo.sh with a setting that runs', write('undo.sh'), STANDING.replace("' '0'", "' '0';reboot")],
    ['a restore.sh with a command more', write('restore.sh'), RESTORE.replace('bring 2', 'reboot\nbring 2')],
    ['a restore.sh of another command', write('restore.sh'), RESTORE.replace("'table'", "'reboot'")],
    ['a restore.sh whose name ends', write('restore.sh'), RESTORE.replace("'link sp-wg51820'", "'a'$(reboot)''")],
    [
      'a restore.sh with an include',
      write('restore.sh'),
      RESTORE.replace('add rule', 'include "/etc/shadow"\nadd rule'),
    ],
    ['a record with a name for the resolver', write('record.json', '600'), '{"endpoint":"-s x"}\n'],
    ['stdin where none is read', ['uname', '-r'], 'x\n'],
    ['no stdin where some is read', ['nft', '-f', '-']],
    ['a control character', ['nft', '-f', '-'], 'add table inet sallyport\r\n'],
  ];
  for (const [what, argv, stdin] of requests) test(what, () => expect(judge(argv, stdin)).toHaveProperty('refused'));
});

/** What none of our commands has anywhere. */
const POISON = [
  ...[
    '; reboot',
    '$(reboot)',
    '`reboot`',
    "'; reboot; '",
    '"',
    "'",
    '\\',
    '\nreboot\n',
    '#',
    '|',
    '&&reboot',
    '>/etc/x',
  ],
  ...['../', '/etc/shadow', ' include "/etc/shadow" ', '@ARM', '%', '*', '~root', '\u00ff', '\t'],
];
/** Free text: who began a change, and what somebody wrote into a lock. */
const isFree = (argv: readonly string[], at: number): boolean =>
  (['@ARM', '@TAKE_OVER'].some((text) => argv.includes(text)) && at === 7) || (argv.includes('@GIVE_FREE') && at === 5);

test('of a request that is let through no word can be poisoned', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...SAMPLES),
      fc.nat(),
      fc.nat(),
      fc.constantFrom(...POISON),
      fc.constantFrom('within', 'word', 'instead'),
      ({ argv, stdin }, at, into, poison, how) => {
        const index = at % argv.length;
        const word = argv[index] ?? '';
        // In the path of a request over HTTP these are as good as any.
        if (isFree(argv, index) || (word.startsWith('/healthz') && /^(%|\.\.\/|\/etc\/shadow)$/.test(poison))) return;
        const cut = into % (word.length + 1);
        const words =
          how === 'word'
            ? [word, poison]
            : [how === 'instead' ? poison : word.slice(0, cut) + poison + word.slice(cut)];
        const mutated = argv.toSpliced(index, 1, ...words);
        expect(judge(mutated, stdin), JSON.stringify(mutated)).toHaveProperty('refused');
      },
    ),
    { numRuns: 300 },
  );
});

test('nor what it reads', () => {
  const spoken = SAMPLES.filter(({ stdin }) => stdin !== undefined);
  fc.assert(
    fc.property(
      fc.constantFrom(...spoken),
      fc.nat(),
      fc.constantFrom(...POISON),
      ({ argv, stdin = '' }, into, poison) => {
        // A quote may stand between quotes, and a name for people within them.
        const cut = into % stdin.length;
        const mutated = stdin.slice(0, cut) + poison + stdin.slice(cut);
        const answer = judge(argv, mutated);
        if ('refused' in answer) return;
        expect(harmless(stdin, cut, poison), JSON.stringify(mutated.slice(Math.max(0, cut - 40), cut + 60))).toBe(true);
      },
    ),
    { numRuns: 300 },
  );
});

/** Where more text says nothing else: in what nft and ip take as a name within quotes, and what nft reads as an operator or not at all. */
const harmless = (text: string, cut: number, poison: string): boolean => {
  const line = text.slice(text.lastIndexOf('\n', cut - 1) + 1, cut);
  const isQuoted = line.split('"').length % 2 === 0 && !/["\\\n]/.test(poison);
  return isQuoted || (/^(add|delete|flush| |$)/.test(line) && /^[|*./ \t]+$/.test(poison));
};

test('each text that a room gives to a shell is known to the gate, or said not to be', () => {
  const folders = ['transport', 'apply', 'drivers/linux', 'cli', 'cli/run', 'cli/drift', 'cli/gate', 'cli/commands'];
  const called = folders.flatMap((folder) =>
    readdirSync(`src/${folder}`)
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
      .flatMap((name) => [...readFileSync(`src/${folder}/${name}`, 'utf8').matchAll(/\bscript\(\s*([A-Z][A-Z_]+)\b/g)])
      .map(([, name = '']) => name),
  );
  expect(called.length).toBeGreaterThan(40);
  const unknown = called.filter((name) => !GATE_SCRIPTS.has(name) && !NOT_THROUGH_A_GATE.has(name));
  expect(unknown).toEqual([]);
  // Known by name, and called in some form: else it would be refused.
  const forms = FORMS.join('\n') + gate().text;
  expect(
    [...GATE_SCRIPTS.keys()].filter(
      (name) =>
        !forms.includes(`@${name} `) &&
        !forms.includes(`@${name}\n`) &&
        name !== 'SEVERAL' &&
        name !== 'WITH_WHOLE_STDIN',
    ),
  ).toEqual([]);
});
