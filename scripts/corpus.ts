/**
 * corpus.ts [PRODUCT...]: writes anew what other people's firewalls put on a host, by running each of them on a host of a lab:
 * src/drivers/linux/testdata/corpus/PRODUCT, one file a command. Needs the packages that its README names.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { OBSERVED_SYSCTLS } from '../src/drivers/linux/sysctls.ts';
import {
  type Lab,
  type LabHost,
  startDocker,
  startFirewalld,
  startLab,
  startUfw,
  type Topology,
} from '../src/lab/index.ts';
import {
  ADDRESSES_COMMAND,
  LINKS_COMMAND,
  NEIGHBOURS_COMMAND,
  routesCommand,
  rulesCommand,
  sysctlCommand,
} from '../src/routing/index.ts';

const CORPUS = fileURLToPath(new URL('../src/drivers/linux/testdata/corpus/', import.meta.url));

/** A router between the outside and a network at home. */
const TOPOLOGY: Topology = {
  name: 'corpus',
  hosts: [
    { name: 'outside' },
    {
      name: 'box',
      routes: [
        { to: 'default', via: '198.51.100.1' },
        { to: 'default', via: '2001:db8:e::1' },
      ],
      sysctls: { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' },
    },
    { name: 'inside' },
  ],
  switches: [],
  cables: [
    {
      ends: [
        { at: 'outside', interface: 'eth0', addresses: ['198.51.100.1/24', '2001:db8:e::1/64'] },
        { at: 'box', interface: 'eth0', addresses: ['198.51.100.10/24', '2001:db8:e::10/64'] },
      ],
    },
    {
      ends: [
        { at: 'box', interface: 'eth1', addresses: ['192.168.7.1/24', 'fd00:7::1/64'] },
        { at: 'inside', interface: 'eth0', addresses: ['192.168.7.20/24', 'fd00:7::20/64'] },
      ],
    },
  ],
};

/** A key of nobody's. */
const PEER = `${'A'.repeat(42)}8=`;

/** What is run, by the folder that gets what then stands there; `keep` runs the dump while a service is there. */
const products: Readonly<Record<string, (lab: Lab, keep: () => Promise<void>) => Promise<void>>> = {
  async 'docker-20.10'(lab, keep) {
    const box = lab.host('box');
    // It shuts forwarding only where it was what opened it.
    await box.run(['sysctl', '-qw', 'net.ipv4.ip_forward=0']);
    await using _docker = await startDocker(lab, 'box');
    const shell = (text: string) => box.run(['sh', '-ec', text]);
    // One program in an image of its own: nothing is fetched.
    await shell(
      'd=$(mktemp -d); cp "$(command -v busybox)" "$d/busybox"; tar -C "$d" -c . | docker import - busy; rm -r "$d"',
    );
    await shell('docker network create --subnet 172.30.0.0/24 -o com.docker.network.bridge.name=br-other other');
    const start = 'docker run -d --security-opt seccomp=unconfined --security-opt apparmor=unconfined';
    await shell(`${start} --name web --ip 172.30.0.5 --network other -p 8443:443 busy /busybox sleep 1000`);
    await shell(`${start} --name app -p 8081:80 -p 127.0.0.1:8082:80 -p 5353:53/udp busy /busybox sleep 1000`);
    await keep();
    await shell('docker rm -f web app');
  },
  async 'ufw-0.36'(lab, keep) {
    await startUfw(lab, 'box');
    for (const rule of [
      'allow 22/tcp',
      'limit 2222/tcp',
      'deny from 192.0.2.66',
      'route deny from 192.0.2.66',
      'route allow in on eth0 out on eth1 to 192.168.7.20 port 80 proto tcp',
      'reject 113/tcp',
      'allow in on eth0 to any port 60000:61000 proto udp',
      'allow log from 10.0.0.0/8',
    ])
      await lab.host('box').run(['ufw', ...rule.split(' ')]);
    await keep();
  },
  async 'firewalld-1.3'(lab, keep) {
    await using _firewalld = await startFirewalld(lab, 'box');
    for (const options of [
      '--zone=public --change-interface=eth0',
      '--zone=public --add-port=443/tcp',
      '--zone=public --add-masquerade',
      '--zone=public --add-forward-port=port=8080:proto=tcp:toport=80:toaddr=192.168.7.20',
      '--zone=trusted --add-source=10.0.0.0/8',
      '--zone=home --change-interface=eth1',
    ])
      await lab.host('box').run(['firewall-cmd', ...options.split(' ')]);
    const rich = 'rule family="ipv4" source address="192.0.2.66" drop';
    await lab.host('box').run(['firewall-cmd', '--zone=public', `--add-rich-rule=${rich}`]);
    await keep();
  },
  'wg-quick-1.0-nft': wgQuick(''),
  // It takes iptables where there is no nft.
  'wg-quick-1.0-iptables': wgQuick(
    'd=$(mktemp -d); for p in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do for f in "$p"/*; do n=$(basename "$f"); [ "$n" = nft ] || [ -e "$d/$n" ] || ln -s "$f" "$d/$n"; done; done; PATH=$d; ',
  ),
  // A node with pods of its own, as the rules in src/nftables/testdata/kube-proxy-1.36 were made for.
  async 'kube-proxy-1.36'(lab, keep) {
    const box = lab.host('box');
    await box.run([
      'sh',
      '-ec',
      `ip address add 192.168.1.20/24 dev eth1; ip address add fd00:1::20/64 dev eth1
ip link add cni0 type bridge; ip address add 10.244.1.1/24 dev cni0; ip address add fd00:244::1/64 dev cni0; ip link set cni0 up
ip link add pod0 type veth peer name pod1; ip link set pod0 master cni0 up; ip link set pod1 up
ip route add 10.244.2.0/24 via 192.168.1.21; ip route add fd00:245::/64 via fd00:1::21`,
    ]);
    await box.run([
      'nft',
      '-f',
      fileURLToPath(new URL('../src/cli/testdata/kube-proxy-1.36/nftables.nft', import.meta.url)),
    ]);
    await keep();
  },
  'iptables-1.8-nft': everyRule('nft'),
  'iptables-1.8-legacy': everyRule('legacy'),
  'calico-rewritten': rewritten('calico'),
  'tailscale-rewritten': rewritten('tailscale'),
  'cilium-rewritten': rewritten('cilium'),
  'istio-rewritten': rewritten('istio'),
  'istio-tproxy-rewritten': rewritten('istio-tproxy'),
};

/** wg-quick with the default route through the tunnel; `before` stands before its line in the shell. */
function wgQuick(before: string) {
  return async (lab: Lab, keep: () => Promise<void>): Promise<void> => {
    const box = lab.host('box');
    const config = `[Interface]
PrivateKey = KEY
Address = 10.66.0.2/32, fd66::2/128

[Peer]
PublicKey = ${PEER}
Endpoint = 198.51.100.1:51820
AllowedIPs = 0.0.0.0/0, ::/0
`;
    await box.run(
      ['sh', '-ec', 'd=$(mktemp -d); k=$(wg genkey); sed "s|KEY|$k|" > "$d/wg0.conf"; echo "$d" > /run/corpus'],
      {
        stdin: config,
      },
    );
    await box.run(['bash', '-ec', `${before}mkdir -p /run/wireguard; wg-quick up "$(cat /run/corpus)/wg0.conf"`]);
    await keep();
    await box.run(['bash', '-c', 'ip link del wg0; rm -r "$(cat /run/corpus)" /run/corpus']);
  };
}

const rulesOf = (name: string): string => readFileSync(`${CORPUS}${name}`, 'utf8');

/** A line of every match and target, as far as the kernel has it; the first word of a line is its table. */
function everyRule(backend: 'nft' | 'legacy') {
  return async (lab: Lab, keep: () => Promise<void>): Promise<void> => {
    const box = lab.host('box');
    await box.run(['ipset', 'restore'], {
      stdin: 'create nets hash:net\nadd nets 10.5.0.0/16\ncreate pairs hash:ip,port\nadd pairs 10.6.0.1,tcp:80\n',
    });
    const wanted = rulesOf('every-rule')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    const tables = [...new Set(wanted.map((line) => line.split(' ', 1).join()))];
    const text = tables.map((table) => {
      const lines = wanted.filter((line) => line.startsWith(`${table} `)).map((line) => line.slice(table.length + 1));
      return [`*${table}`, ':c - [0:0]', ...lines, 'COMMIT', ''].join('\n');
    });
    await box.run([`iptables-${backend}-restore`], { stdin: text.join('') });
    await keep();
  };
}

/** Rules that we wrote down after a product's sources, as iptables-restore takes them. */
function rewritten(name: string) {
  return async (lab: Lab, keep: () => Promise<void>): Promise<void> => {
    const box = lab.host('box');
    const [sets, v4, v6, beside] = ['ipset', 'rules4', 'rules6', 'sh'].map((part) => optional(`${name}.${part}`));
    if (beside !== undefined) await box.run(['sh', '-e'], { stdin: beside });
    if (sets !== undefined) await box.run(['ipset', 'restore'], { stdin: sets });
    if (v4 !== undefined) await box.run(['iptables-nft-restore'], { stdin: v4 });
    if (v6 !== undefined) await box.run(['ip6tables-nft-restore'], { stdin: v6 });
    await keep();
  };
}

function optional(name: string): string | undefined {
  try {
    return rulesOf(name);
  } catch {
    return undefined;
  }
}

/** What is asked of the host, by the file that gets the answer; undefined where the answer is empty. */
const questions: Readonly<Record<string, (box: LabHost) => Promise<string>>> = {
  'nft.json': told('nft', '-j', 'list', 'ruleset'),
  'iptables-save': told('iptables-nft-save', '-c'),
  'ip6tables-save': told('ip6tables-nft-save', '-c'),
  'iptables-legacy-save': legacy('iptables-legacy-save', 'ip_tables_names'),
  'ip6tables-legacy-save': legacy('ip6tables-legacy-save', 'ip6_tables_names'),
  'ipset-save': told('ipset', 'save'),
  'link.json': told(...LINKS_COMMAND),
  'address.json': told(...ADDRESSES_COMMAND),
  'neighbours.json': told(...NEIGHBOURS_COMMAND),
  'route4.json': told(...routesCommand(4)),
  'route6.json': told(...routesCommand(6)),
  'rule4.json': told(...rulesCommand(4)),
  'rule6.json': told(...rulesCommand(6)),
  sysctls: told(...sysctlCommand(OBSERVED_SYSCTLS)),
};

function told(...argv: readonly string[]) {
  return async (box: LabHost): Promise<string> => (await box.run(argv, { allowFailure: true })).stdout;
}

/** Its own saver would load the module and make tables where there are none. */
function legacy(saver: string, names: string) {
  return told('sh', '-c', `[ -z "$(cat /proc/net/${names} 2>/dev/null)" ] || exec ${saver} -c`);
}

/** When it was listed is no part of it. */
const timeless = (text: string): string => text.replace(/^(# (?:Generated by|Completed).*?) on .*$/gm, '$1');

const asked = process.argv.slice(2);
for (const [product, run] of Object.entries(products)) {
  if (asked.length > 0 && !asked.includes(product)) continue;
  await using lab = await startLab(TOPOLOGY);
  await run(lab, async () => {
    const folder = `${CORPUS}${product}/`;
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    for (const [file, ask] of Object.entries(questions)) {
      const text = timeless(await ask(lab.host('box')));
      if (text.trim() !== '') writeFileSync(`${folder}${file}`, text);
    }
  });
  console.log(product);
}
