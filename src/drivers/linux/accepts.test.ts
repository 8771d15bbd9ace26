/** Accepts of ours among rules of others, by each tool that made those: they come, move and go, and what was there stays to the byte. */
import { expect, test } from 'vitest';
import { type AcceptPlace, type AcceptTraffic, RECORD_FORMAT, undoScript } from '../../host/index.ts';
import { startNamespace } from '../../lab/index.ts';
import { type Family, parseAddress } from '../../net/index.ts';
import type { HostChange } from '../../plan/index.ts';
import { namespaceTransport } from '../../transport/index.ts';
import { linuxDriver } from '../index.ts';

const never = new AbortController().signal;

async function startHost(foreign: string) {
  const lab = await startNamespace();
  await lab.run(['ip', 'netns', 'add', 'host']);
  const transport = namespaceTransport('host', 'host', {
    entry: ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'],
  });
  const inside = async (text: string) =>
    (await lab.run(['nsenter', '--net=/run/netns/host', 'sh', '-ec', text])).stdout;
  await inside(foreign);
  const driver = linuxDriver(transport);
  return {
    lab,
    inside,
    transport,
    driver,
    apply: (...changes: readonly HostChange[]) => driver.apply(changes, { signal: never }),
    accepts: async () => (await driver.observe(never)).state.accepts,
    /** Every rule on the host, by every tool, without what counts. */
    rules: () =>
      inside(
        'nft -s list ruleset 2>/dev/null; for f in ip ip6; do for b in nft legacy; do [ $b = nft ] || [ -n "$(cat /proc/net/"$f"_tables_names)" ] || continue; "$f"tables-$b-save | sed "/^# Generated\\|^# Completed/d; s/ \\[.*\\]$//"; done; done',
      ),
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

const address = (family: Family) => {
  const parsed = parseAddress(family === 4 ? '198.51.100.20' : '2001:db8:e::20');
  if (parsed === undefined) throw new Error('a constant of the test is wrong');
  return parsed;
};

/** One of each, as a place of this family takes them. */
const everything = (family: Family): readonly AcceptTraffic[] => [
  { kind: 'link', link: 'sp-wg51820', direction: 'out' },
  { kind: 'link', link: 'sp-a.long-name1', direction: 'in' },
  { kind: 'outer', direction: 'in', protocol: 17, port: 51820 },
  { kind: 'outer', direction: 'in', protocol: 17, port: 4789, peer: address(family) },
  { kind: 'outer', direction: 'out', protocol: 17, port: 51820, peer: address(family) },
  { kind: 'outer', direction: 'in', protocol: 4, peer: address(family) },
  { kind: 'outer', direction: 'out', protocol: 41, peer: address(family) },
  { kind: 'outer', direction: 'in', protocol: 47, peer: address(family) },
  { kind: 'connections', mask: 0xff },
];

/** Rules of the owner's, one of which asks for more than one rule of nft can. */
const OWNER = `-A CHAIN -p tcp -m tcp --dport 22 -j ACCEPT
-A CHAIN -p udp -m multiport --ports 53,67 -j DROP
-A CHAIN -m comment --comment "not sallyport" -j ACCEPT
-A CHAIN -j DROP`;

const owners = (program: string, chain: string): string =>
  `printf '%s\\n' '*filter' ':FORWARD DROP [0:0]' ':DOCKER-USER - [0:0]' '${OWNER.replaceAll('CHAIN', chain).replaceAll('\n', "' '")}' COMMIT | ${program}-restore --noflush`;

const PLACES: readonly {
  readonly name: string;
  readonly foreign: string;
  readonly place: AcceptPlace;
  readonly family: Family;
}[] = [
  ...(['inet', 'ip', 'ip6'] as const).map((family) => ({
    name: `a chain of nft in a table ${family}`,
    foreign: `nft -f - <<'END'
table ${family} fw {
  chain forward {
    type filter hook forward priority filter; policy drop;
    tcp dport 22 accept
    udp dport { 53, 67 } drop comment "their own"
    ct state established,related accept
    counter drop
  }
}
END`,
    place: { kind: 'nft', family, table: 'fw', chain: 'forward' } as const,
    family: family === 'ip6' ? (6 as const) : (4 as const),
  })),
  ...([4, 6] as const).flatMap((family) =>
    (['nft', 'legacy'] as const).flatMap((backend) =>
      ['FORWARD', 'DOCKER-USER'].map((chain) => ({
        name: `${chain} of ip${family === 4 ? '' : '6'}tables-${backend}`,
        foreign: owners(`ip${family === 4 ? '' : '6'}tables-${backend}`, chain),
        place: { kind: 'iptables', family, backend, table: 'filter', chain } as const,
        family,
      })),
    ),
  ),
];

for (const { name, foreign, place, family } of PLACES)
  test(`${name}: what is written is observed, moves, and goes`, async () => {
    await using host = await startHost(foreign);
    const before = await host.rules();
    const at = (behind: number, traffic = everything(family)) => ({ place: { ...place, behind }, traffic });
    const accept = (each: ReturnType<typeof at>) => ({ kind: 'accept', accept: each }) as const;
    for (const behind of [0, 2, 4]) {
      await host.apply({ action: 'add', after: accept(at(behind)) });
      expect(await host.accepts()).toEqual([at(behind)]);
      await host.apply({ action: 'remove', before: accept(at(behind)) });
      expect(await host.rules()).toBe(before);
    }
    const less = everything(family).slice(1, 4);
    await host.apply(
      { action: 'add', after: accept(at(3)) },
      { action: 'change', before: accept(at(3)), after: accept(at(1)) },
      { action: 'change', before: accept(at(1)), after: accept(at(2, less)) },
    );
    expect(await host.accepts()).toEqual([at(2, less)]);
    const folder = await host.transport.stateFolder();
    await host.transport.writeFile(`${folder}/undo.sh`, undoScript(RECORD, folder, 'host'), 0o700);
    expect((await host.lab.run(['sh', `${folder}/undo.sh`])).stderr).toBe('');
    expect(await host.rules()).toBe(before);
    expect(await host.accepts()).toEqual([]);
  });

const RECORD = {
  format: RECORD_FORMAT,
  version: '0.1.0',
  sets: new Map(),
  numbers: { mark: { value: 1, mask: 0xff }, suppressPriority: 5000, tunnels: new Map() },
  sysctlsBefore: new Map(),
};

const forward = { kind: 'iptables', family: 4, backend: 'nft', table: 'filter', chain: 'FORWARD' } as const;
const link = { kind: 'link', link: 'sp-x', direction: 'in' } as const;

test('what somebody made of ours is seen as that, and goes with ours', async () => {
  await using host = await startHost(`iptables-nft -P FORWARD DROP
iptables-nft -A FORWARD -i sp-x -m comment --comment sallyport -j ACCEPT
iptables-nft -A FORWARD -i eth0 -j ACCEPT
iptables-nft -A FORWARD -i sp-x -p tcp -m comment --comment sallyport -j ACCEPT
nft 'add table inet fw; add chain inet fw in { type filter hook input priority 0; }; add rule inet fw in iifname "sp-x" drop comment "sallyport"'`);
  const accepts = await host.accepts();
  expect(accepts).toEqual([
    {
      // Not together.
      place: forward,
      traffic: [link, { kind: 'other', text: '-A FORWARD -i sp-x -p tcp -m comment --comment sallyport -j ACCEPT' }],
    },
    {
      place: { kind: 'nft', family: 'inet', table: 'fw', chain: 'in', behind: 0 },
      traffic: [{ kind: 'other', text: 'iifname "sp-x" drop comment "sallyport"' }],
    },
  ]);
  await host.apply(...accepts.map((accept): HostChange => ({ action: 'remove', before: { kind: 'accept', accept } })));
  expect(await host.accepts()).toEqual([]);
  expect(await host.inside('iptables-nft-save')).toContain('-A FORWARD -i eth0 -j ACCEPT');
});

test('a chain that its owner took away is gone with ours, and none is made to write into', async () => {
  await using host = await startHost('ip link add v0 type veth peer name v1');
  const accept = { place: { ...forward, behind: 0 }, traffic: [link] };
  const fw = { place: { kind: 'nft', family: 'inet', table: 'fw', chain: 'in', behind: 0 } as const, traffic: [link] };
  const before = await host.rules();
  for (const each of [accept, fw]) {
    await host.apply({ action: 'remove', before: { kind: 'accept', accept: each } });
    await expect(host.apply({ action: 'add', after: { kind: 'accept', accept: each } })).rejects.toThrow(
      /no such chain|No such file/,
    );
  }
  expect(await host.rules()).toBe(before);
});

test('where a firewall is refused its own change, ours is refused too, and stands whole or not at all', async () => {
  await using host = await startHost('iptables-nft -P FORWARD DROP');
  const before = await host.rules();
  const traffic = [link, { kind: 'link', link: 'sp-a-name-too-long', direction: 'out' } as const];
  await expect(
    host.apply({ action: 'add', after: { kind: 'accept', accept: { place: { ...forward, behind: 0 }, traffic } } }),
  ).rejects.toThrow(/^host: /);
  expect(await host.rules()).toBe(before);
});
