/** `trace --live` across bridges, VLANs, macvlans and proxies for others' addresses, beside what the kernel does there. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Lab, startLab } from '../lab/index.ts';
import type { TraceReport } from '../simulate/index.ts';
import { SALLYPORT } from './testdata/story.ts';

const NAMES = ['client', 'between', 'server'] as const;
const HOSTS = NAMES.map(
  (name) =>
    `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${name} }\nspec: { access: { netns: { name: ${name} } } }\n`,
).join('---\n');

describe('frames between hosts', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await startLab({ name: 'frames', hosts: NAMES.map((name) => ({ name })), switches: [], cables: [] });
    await lab.serve('server', { protocol: 'tcp', port: 80 });
  });
  afterAll(async () => lab[Symbol.asyncDispose]());

  /** Lines of `ip`, each for one host. */
  const ip = async (host: string, ...lines: readonly string[]): Promise<void> => {
    await lab.host(host).run(['ip', '-batch', '-'], { stdin: `${lines.join('\n')}\n` });
  };
  const sysctl = (host: string, ...set: readonly string[]) => lab.host(host).run(['sysctl', '-qw', ...set]);

  afterEach(async () => {
    await lab.host('between').run(['nft', 'flush', 'ruleset']);
    for (const host of NAMES) {
      const { stdout } = await lab.host(host).run(['ip', '-br', 'link']);
      for (const name of stdout.split('\n').flatMap((line) => /^(\w+)@?\S* /.exec(line)?.[1] ?? []))
        if (name !== 'lo') await lab.host(host).run(['ip', 'link', 'delete', name], { allowFailure: true });
    }
  });

  /** What the kernel does and what the trace says of it, which must be one. */
  async function ask(to: string): Promise<TraceReport> {
    const argv = [process.execPath, SALLYPORT, 'trace', '-f', '-', '--live', '--from', '10.0.0.1@client'];
    const asked = [...argv, '--to', `${to}:80/tcp`, '-o', 'json'];
    const { stdout, stderr } = await lab.run(asked, { stdin: HOSTS, allowFailure: true, timeoutMs: 60_000 });
    expect(stderr).toBe('');
    const { traces } = JSON.parse(stdout) as { readonly traces: readonly TraceReport[] };
    const [trace] = traces;
    if (trace === undefined || traces.length > 1) throw new Error(`not one trace: ${stdout}`);
    const { ok } = await lab.connect('client', { protocol: 'tcp', to, port: 80, timeoutMs: 700 });
    expect([trace.works, trace.reason]).toEqual([ok, trace.reason]);
    return trace;
  }

  /** client and server, each by a veth, on two ports of between. */
  async function cable(): Promise<void> {
    await ip(
      'between',
      'link add p1 type veth peer name eth0 netns client',
      'link add p2 type veth peer name eth0 netns server',
      'link set p1 up',
      'link set p2 up',
    );
    await ip('client', 'link set eth0 up');
    await ip('server', 'link set eth0 up');
  }

  describe('over a bridge', () => {
    beforeEach(async () => {
      await cable();
      await ip('client', 'addr add 10.0.0.1/24 dev eth0');
      await ip('server', 'addr add 10.0.0.2/24 dev eth0');
      await ip(
        'between',
        'link add br0 up type bridge mcast_snooping 0',
        'link set p1 master br0',
        'link set p2 master br0',
      );
      await lab.host('between').run(['nft', '-f', '-'], {
        stdin:
          'table ip t { chain f { type filter hook forward priority 0; iifname "br0" oifname "br0" ip daddr 10.0.0.2 tcp dport 80 drop; }; }',
      });
    });

    test('rules for IP do not see what crosses it', async () => {
      await sysctl('between', 'net.bridge.bridge-nf-call-iptables=0');
      expect(await ask('10.0.0.2')).toMatchObject({ works: true });
    });

    test('br_netfilter shows it to them, by the sysctl and by the setting of the bridge', async () => {
      await sysctl('between', 'net.bridge.bridge-nf-call-iptables=1');
      const trace = await ask('10.0.0.2');
      expect(trace).toMatchObject({ verdict: 'dropped', reason: expect.stringContaining('between drops') });
      expect(trace.hops.map(({ detail }) => detail)).toContain('crosses br0 from p1 to p2, filtered (br_netfilter)');
      await sysctl('between', 'net.bridge.bridge-nf-call-iptables=0');
      await ip('between', 'link set br0 type bridge nf_call_iptables 1');
      expect(await ask('10.0.0.2')).toMatchObject({ verdict: 'dropped' });
    });

    test('a source that is translated there is the one the server sees', async () => {
      await sysctl('between', 'net.bridge.bridge-nf-call-iptables=1');
      await ip('between', 'addr add 10.0.0.9/24 dev br0');
      await lab.host('between').run(['nft', '-f', '-'], {
        stdin:
          'flush ruleset\ntable ip t { chain n { type nat hook postrouting priority 100; ip daddr 10.0.0.2 snat to 10.0.0.9; }; }',
      });
      expect(await ask('10.0.0.2')).toMatchObject({ clientAddressSeen: '10.0.0.9' });
    });
  });

  test('macvlans of one device reach each other in mode bridge alone', async () => {
    await ip('between', 'link add up0 type veth peer name up1', 'link set up0 up', 'link set up1 up');
    for (const mode of ['bridge', 'private'] as const) {
      await ip('between', `link add link up0 name mc type macvlan mode ${mode}`, 'link set mc netns client');
      await ip('between', `link add link up0 name ms type macvlan mode ${mode}`, 'link set ms netns server');
      await ip('client', 'addr add 10.0.0.1/24 dev mc', 'link set mc up');
      await ip('server', 'addr add 10.0.0.2/24 dev ms', 'link set ms up');
      expect(await ask('10.0.0.2')).toMatchObject({ works: mode === 'bridge' });
      await ip('client', 'link delete mc');
      await ip('server', 'link delete ms');
    }
  });

  test('a neighbour that is none answers by proxy ARP, where it forwards', async () => {
    await cable();
    await ip('client', 'addr add 10.0.0.1/16 dev eth0');
    await ip('server', 'addr add 10.0.2.2/24 dev eth0', 'route add default via 10.0.2.1');
    await ip('between', 'addr add 10.0.0.254/24 dev p1', 'addr add 10.0.2.1/24 dev p2');
    await sysctl('between', 'net.ipv4.ip_forward=1');
    expect(await ask('10.0.2.2')).toMatchObject({ verdict: 'unreachable' });
    await sysctl('between', 'net.ipv4.conf.p1.proxy_arp=1');
    expect(await ask('10.0.2.2')).toMatchObject({ works: true });
    await sysctl('between', 'net.ipv4.ip_forward=0');
    expect((await ask('10.0.2.2')).works).toBe(false);
  });

  test('VLANs of one number meet, and no others', { tags: ['vm-only'] }, async () => {
    await cable();
    await ip(
      'between',
      'link add br0 up type bridge mcast_snooping 0',
      'link set p1 master br0',
      'link set p2 master br0',
    );
    await ip('client', 'link add link eth0 name v5 type vlan id 5', 'addr add 10.0.0.1/24 dev v5', 'link set v5 up');
    for (const id of [5, 6]) {
      await ip(
        'server',
        `link add link eth0 name vs type vlan id ${id}`,
        'addr add 10.0.0.2/24 dev vs',
        'link set vs up',
      );
      expect(await ask('10.0.0.2')).toMatchObject({ works: id === 5 });
      await ip('server', 'link delete vs');
    }
  });
});
