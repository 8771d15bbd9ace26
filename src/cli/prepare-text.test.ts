/** What a host says of itself, read, and what is made of it for people; of distributions on which nothing is run, the exact text. */
import { expect, test } from 'vitest';
import { readLook } from './host-look.ts';
import { planInstallation } from './host-packages.ts';
import { lookLines, printPreparation } from './host-text.ts';

const NOW = 1_800_000_000;
const ALL = 'nft ip bridge ss wg sysctl conntrack flock setsid stat mktemp wireguard-go'.split(' ');

/** As the script on the host writes it. */
function said(release: string, missing: readonly string[], more: readonly string[] = ['user 0 root']): string {
  const lines = [...more, 'kernel 6.1.0-18-amd64', ...missing.map((program) => `missing ${program}`)];
  return `${[...(more.some((line) => line.startsWith('clock')) ? [] : [`clock ${NOW}`]), ...lines].join('\n')}\nrelease\n${release}`;
}

function look(text: string) {
  const found = readLook(text, NOW);
  if (found === undefined) throw new Error(`not read: ${text}`);
  return found;
}

// os-release(5) as these distributions have it.
const RELEASES = {
  debian: 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n',
  ubuntu: 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nNAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n',
  raspbian: 'PRETTY_NAME="Raspbian GNU/Linux 12 (bookworm)"\nID=raspbian\nID_LIKE=debian\n',
  alpine: 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME="Alpine Linux v3.20"\n',
  fedora: 'NAME="Fedora Linux"\nID=fedora\nPRETTY_NAME="Fedora Linux 41 (Server Edition)"\n',
  rocky: 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nPRETTY_NAME="Rocky Linux 9.4 (Blue Onyx)"\n',
  openwrt: 'NAME="OpenWrt"\nID="openwrt"\nID_LIKE="lede openwrt"\nPRETTY_NAME="OpenWrt 23.05.5"\n',
  nixos: "ID=nixos\nPRETTY_NAME='NixOS 24.11 (Vicuna)'\n",
} as const;

for (const name of ['debian', 'ubuntu', 'alpine', 'fedora', 'openwrt', 'nixos'] as const)
  test(`all that is missing on ${name}`, async () => {
    const found = look(said(RELEASES[name], ALL));
    const text = printPreparation('edge', found, planInstallation(found));
    await expect(text).toMatchFileSnapshot(`testdata/prepare.${name}.txt`);
  });

for (const [name, packaging] of [
  ['debian', 'debian'],
  ['ubuntu', 'debian'],
  ['raspbian', 'debian'],
  ['alpine', 'alpine'],
  ['fedora', 'fedora'],
  ['rocky', 'fedora'],
  ['openwrt', 'openwrt'],
  ['nixos', undefined],
] as const)
  test(`packages of ${name}`, () => expect(look(said(RELEASES[name], [])).packaging).toBe(packaging));

for (const [what, more, root] of [
  ['root', ['user 0 root'], 'root'],
  ['sudo that asks nothing', ['user 1000 admin', 'sudo yes'], 'sudo'],
  [
    'sudo that asks',
    ['user 1000 admin', 'sudo sudo: a password is required'],
    { refused: 'sudo says: a password is required' },
  ],
  ['no sudo', ['user 1000 admin', 'sudo sh: 12: sudo: not found'], { refused: 'sudo is missing' }],
  [
    'a sudo with a lecture',
    ['user 1000 admin', 'sudo We trust you have received the usual lecture. sudo: a password is required'],
    { refused: 'sudo says: a password is required' },
  ],
] as const)
  test(`rights: ${what}`, () => expect(look(said(RELEASES.debian, [], more)).root).toEqual(root));

test('what is not whole is not believed', () => {
  expect(readLook('', NOW)).toBeUndefined();
  expect(readLook('user 0 root\nkernel 6.1\n', NOW)).toBeUndefined();
  expect(readLook('kernel 6.1\nrelease\nID=debian\n', NOW)).toBeUndefined();
});

test('a clock that is off, a root that is read-only and a login without rights are told', () => {
  const more = ['user 1000 admin', `clock ${NOW - 3 * 3_600}`, 'readonly', 'systemd', 'sudo sudo: not allowed here'];
  const found = look(said(RELEASES.ubuntu, ['wg'], more));
  expect(found).toMatchObject({ isReadOnly: true, hasSystemd: true, clockAheadSeconds: -10_800 });
  expect(lookLines('edge', found, 'edge', 'edge.yaml')).toEqual([
    'edge: Ubuntu 24.04.1 LTS, Linux 6.1.0-18-amd64, admin, who cannot become root: sudo says: not allowed here',
    'edge: missing: wg (package wireguard-tools)',
    'edge: sallyport host prepare edge -f edge.yaml installs it',
    'edge: its root file system is read-only: nothing can be kept there',
    "edge: its clock is 3 h behind this machine's",
  ]);
});

for (const [offset, words] of [
  [29, undefined],
  [31, '31 s ahead of'],
  [-119, '119 s behind'],
  [150, '3 min ahead of'],
  [86_400, '24 h ahead of'],
] as const)
  test(`a clock that is ${offset} s off`, () => {
    const found = look(said(RELEASES.debian, [], ['user 0 root', `clock ${NOW + offset}`]));
    const lines = lookLines('edge', found, 'edge', undefined);
    const clock = lines.filter((line) => line.includes('clock'));
    expect(clock).toEqual(words === undefined ? [] : [`edge: its clock is ${words} this machine's`]);
  });
