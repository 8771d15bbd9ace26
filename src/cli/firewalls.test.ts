/** The real ufw, firewalld and dockerd on the hosts: our traffic comes through by rules of their own, which outlive what they do to theirs. */
import { describe, expect, test } from 'vitest';
import { type Lab, type SlimEdgeOptions, slimEdge, startDocker, startFirewalld, startUfw } from '../lab/index.ts';
import { DIRECT, type Documents, documents, type Story, startStory, waitFor } from './testdata/story.ts';

const CLIENTS = { '198.51.100.10': '192.0.2.10', '2001:db8:e::10': '2001:db8:c::10' } as const;

/** Starts an owner on a host and says what it does to its own rules later, each by its own command. */
type Owner = (lab: Lab, host: string) => Promise<readonly (readonly [string, () => Promise<unknown>])[]>;

const ufw: Owner = async (lab, host) => {
  await startUfw(lab, host);
  const run = (...args: readonly string[]) => lab.host(host).run(['ufw', ...args]);
  for (const rule of [
    'allow 22/tcp',
    'deny from 192.0.2.66',
    'route deny from 192.0.2.66',
    'allow proto tcp to ::/0 port 443',
  ])
    await run(...rule.split(' '));
  return [
    ['ufw reload', () => run('reload')],
    ['ufw disable and enable', () => run('disable').then(() => run('--force', 'enable'))],
  ];
};

const firewalld: Owner = async (lab, host) => {
  const service = await startFirewalld(lab, host);
  const run = (...args: readonly string[]) => lab.host(host).run(['firewall-cmd', ...args]);
  await run('--permanent', '--zone=public', '--add-port=443/tcp');
  await run('--reload');
  await run('--zone=public', '--add-port=8443/tcp'); // for now alone
  return [
    ['firewall-cmd --reload', () => run('--reload')],
    ['firewall-cmd --complete-reload', () => run('--complete-reload')],
    ['a restart of firewalld', () => service.restart()],
  ];
};

const docker: Owner = async (lab, host) => {
  const service = await startDocker(lab, host);
  await lab.host(host).run(['iptables', '-I', 'DOCKER-USER', '-s', '192.0.2.66', '-j', 'DROP']);
  return [['a restart of dockerd', () => service.restart()]];
};

/** What the owners keep in files. */
const files = async (lab: Lab): Promise<string> =>
  (await lab.run(['sh', '-c', 'cd /etc; find ufw firewalld docker -type f | sort | xargs grep -H "" 2>/dev/null; :']))
    .stdout;

async function expectThrough(story: Story): Promise<void> {
  for (const [to, client] of Object.entries(CLIENTS))
    for (const [protocol, port] of [
      ['tcp', 80],
      ['udp', 53],
    ] as const)
      await waitFor(
        `${protocol} to ${to} seen from ${client}`,
        async () => (await story.ask('client', { protocol, to, port, timeoutMs: 1_000 })) === `seen from ${client}`,
        8_000,
      );
}

interface Case {
  readonly edge?: readonly [Owner, ...string[]];
  readonly node?: readonly [Owner, ...string[]];
  readonly options?: SlimEdgeOptions;
  readonly parts?: Documents;
}

/**
 * The owner of each host, and the places in which ours stand there. One of each kind in a lab, for they share their files; and no dockerd
 * beside firewalld, which it would find on the bus of the other host.
 */
const CASES: Readonly<Record<string, Case>> = {
  'ufw on the edge, firewalld on the node': {
    edge: [ufw, 'ufw, IPv4 forward', 'ufw, IPv4 input', 'ufw, IPv6 forward'],
    node: [firewalld, 'firewalld'],
  },
  'firewalld on the edge': { edge: [firewalld, 'firewalld'] },
  'dockerd on the node': { node: [docker] },
  'dockerd on the edge, ufw on the node': {
    edge: [docker, 'iptables -t filter DOCKER-USER', 'ip6tables -t filter FORWARD'],
    node: [ufw, 'ufw, IPv4 input', 'ufw, IPv6 input'],
  },
  'ufw, over a private link, on the edge': {
    edge: [ufw, 'iptables -t filter FORWARD', 'ip6tables -t filter FORWARD'],
    ...{ options: { privateLink: true }, parts: { tunnel: DIRECT } },
  },
};

describe('our traffic comes through, and again after what the owner does to its rules', () => {
  for (const [name, { edge, node, options = {}, parts = {} }] of Object.entries(CASES))
    test(name, async () => {
      const owned = Object.entries({ edge, node }).flatMap(([host, found]) => {
        if (found === undefined) return [];
        const [owner, ...places] = found;
        return [{ host, owner, places }];
      });
      const later = new Map<string, Awaited<ReturnType<Owner>>>();
      await using story = await startStory(slimEdge(options), async (lab) => {
        for (const { host, owner } of owned) later.set(host, await owner(lab, host));
        await lab.serve('node', { protocol: 'tcp', port: 8080 });
        await lab.serve('node', { protocol: 'udp', port: 5353 });
      });
      const { lab } = story;
      const before = await files(lab);
      const rules = async (host: string): Promise<string> =>
        (await lab.host(host).run(['sh', '-c', 'nft list ruleset; iptables-save; ip6tables-save'])).stdout;
      const expectGone = async (): Promise<void> => {
        expect(await files(lab)).toBe(before);
        for (const { host } of owned) {
          expect(await rules(host), host).not.toMatch(/sp-[a-z]|51820/);
          await later.get(host)?.[0]?.[1](); // firewalld keeps chains of what it knew, now empty, until then
          expect(await rules(host), host).not.toContain('sallyport');
        }
      };
      const text = documents(parts);
      const { stdout } = await story.sallyport(['plan', '-o', 'json', '-f', '-'], text);
      const { hosts, promises } = JSON.parse(stdout);
      const open = promises.filter(
        ({ holds, reason }: { holds: unknown; reason?: string }) =>
          holds !== true && reason?.startsWith('a UDP server on node that is bound to no address') !== true, // Direct
      );
      expect(open).toEqual([]);
      const accepts = hosts.flatMap(
        ({ host, changes }: { host: string; changes: readonly { object: string; name: string }[] }) =>
          changes.filter(({ object }) => object === 'accept').map((each) => `${host}: ${each.name}`),
      );
      const wanted = owned.flatMap(({ host, places }) => places.map((place) => `${host}: ${place}`));
      expect(accepts.sort()).toEqual(wanted.sort());
      await story.apply(text);
      await expectThrough(story);
      for (const [what, act] of [...later.values()].flat()) {
        await act();
        await expectThrough(story);
        const status = await story.sallyport(['status', '-f', '-'], text);
        expect(status, `after ${what}: ${status.stdout}${status.stderr}`).toMatchObject({ status: 0 });
      }
      expect((await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text)).status).toBe(0);
      // The way back without us: as after destroy.
      for (const { host } of owned) {
        const folder = `/run/sallyport/netns/$(stat -L -c %i /run/netns/${host})`;
        const undone = await lab.run(['sh', '-c', `sh ${folder}/undo.sh`]);
        expect(undone.stderr).toBe('');
      }
      await expectGone();
      await story.apply(text);
      await expectThrough(story);
      const destroyed = await story.sallyport(['destroy', '--yes', '-f', '-'], text);
      expect(destroyed, destroyed.stderr).toMatchObject({ status: 0 });
      await expectGone();
    }, 240_000);
});

describe('an apply that fails leaves it as it was', () => {
  for (const [name, owner] of [
    ['ufw', ufw],
    ['firewalld', firewalld],
  ] as const)
    test(`${name} on the node`, async () => {
      await using story = await startStory(slimEdge(), async (lab) => void (await owner(lab, 'node')));
      const { lab } = story;
      const before = await files(lab);
      await lab.serve('edge', { protocol: 'udp', port: 51820 }); // the tunnel's
      const { status, stderr } = await story.sallyport(['apply', '--yes', '-f', '-'], documents());
      expect(stderr).toContain('node and edge are as they were');
      expect(status).toBe(1);
      expect(await files(lab)).toBe(before);
      const rules = await lab.host('node').run(['sh', '-c', 'nft list ruleset; iptables-save; ip6tables-save']);
      expect(rules.stdout).not.toMatch(/sp-[a-z]|51820/);
    }, 120_000);
});
