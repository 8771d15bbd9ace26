/** The fallback devices that the kernel itself makes with the first tunnel of a kind, and never removes. */
const fallbackDevices: readonly string[] = [
  'tunl0',
  'gre0',
  'gretap0',
  'erspan0',
  'sit0',
  'ip6tnl0',
  'ip6gre0',
  'ip_vti0',
  'ip6_vti0',
];

/** Of the whole kernel: read-only in a namespace, so no host's own, and changed meanwhile by who has the machine's (conntrack.max). */
const kernelWide: readonly string[] = ['nf_conntrack_count', 'nf_conntrack_max', 'nf_conntrack_buckets'];

const mark = '==> ';

/**
 * The script that reads a host, run in the lab: which processes stand in its namespace, then, inside it, what the
 * design calls "as it was". One entry for all.
 */
export const dumpScript = (host: string): string => `
echo '${mark}netns'; stat -L -c %i /run/netns/${host}
echo '${mark}processes'
for pid in $(ip netns pids ${host}); do sed -n 's/^Name:[[:space:]]*/name /p; s/^PPid:[[:space:]]*/parent /p' /proc/$pid/status 2>/dev/null | tr '\\n' ' ' && echo "pid $pid"; done
echo '${mark}files'
find /run/sallyport /run/wireguard ! -type d 2>/dev/null
exec nsenter --net=/run/netns/${host} sh -es <<'INSIDE'
echo '${mark}nftables'; nft -s list ruleset
echo '${mark}iptables-legacy'
for f in ip ip6; do [ -z "$(cat /proc/net/"$f"_tables_names 2>/dev/null)" ] || "$f"tables-legacy-save; done
echo '${mark}links'; ip -j -d link
echo '${mark}addresses'; ip -j addr
echo '${mark}rules IPv4'; ip -j rule
echo '${mark}rules IPv6'; ip -6 -j rule
echo '${mark}routes IPv4'; ip -j -d route show table all
echo '${mark}routes IPv6'; ip -6 -j -d route show table all
echo '${mark}sysctls'
grep -rs '' /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ip_early_demux /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/netfilter || [ $? = 2 ] # stable_secret cannot be read
INSIDE
`;

/** The canonical text of what dumpScript printed; equal before and after means as it was. `own` are the lab's processes. */
export function readDump(text: string, own: ReadonlySet<number>): string {
  const sections = new Map(
    text
      .split(mark)
      .slice(1)
      .map((section) => {
        const newline = section.indexOf('\n');
        return [section.slice(0, newline), section.slice(newline + 1).trimEnd()] as const;
      }),
  );
  const inode = sections.get('netns') ?? '';
  sections.delete('netns');
  return [...sections]
    .map(([name, body]) => `## ${name}\n${[...canonical(name, body, inode, own)].join('\n')}\n`)
    .join('\n');
}

function canonical(name: string, body: string, inode: string, own: ReadonlySet<number>): readonly string[] {
  const [kind] = name.split(' ');
  switch (kind) {
    case 'processes':
      return processes(body, own);
    case 'files':
      return lines(body)
        .map((path) => path.replace(`/netns/${inode}`, '/netns/SELF'))
        .filter((path) => !/\/netns\/\d+/.test(path))
        .sort();
    case 'nftables':
      return tables(body);
    case 'iptables-legacy':
      return lines(body)
        .filter((line) => !line.startsWith('#'))
        .map((line) => line.replace(/ \[\d+:\d+\]$/, ''));
    case 'links':
      return objects(body, volatileOfLinks);
    case 'addresses':
      return objects(body, volatileOfLinks);
    case 'rules':
      return objects(body, new Set(), false); // rules of one priority apply in the order they stand
    case 'routes':
      return objects(body, new Set(['expires', 'cache', 'used', 'age']));
    case 'sysctls':
      return lines(body)
        .map((line) => line.replace('/proc/sys/', '').replaceAll('/', '.').replace(':', ' = '))
        .filter(
          (line) =>
            !kernelWide.some((name) => line.includes(`.${name} `)) &&
            !fallbackDevices.some((device) => line.includes(`.${device}.`)),
        )
        .sort();
    default:
      throw new Error(`no section ${name} is known`);
  }
}

const lines = (body: string): readonly string[] => (body === '' ? [] : body.split('\n'));

/** Index numbers, timers and what a capture in progress changes. */
const volatileOfLinks: ReadonlySet<string> = new Set([
  'ifindex',
  'link_index',
  'promiscuity',
  'allmulti',
  'hello_timer',
  'tcn_timer',
  'topology_change_timer',
  'gc_timer',
  'root_id',
  'bridge_id',
  'valid_life_time',
  'preferred_life_time',
]);

function objects(body: string, volatile: ReadonlySet<string>, sorts = true): readonly string[] {
  const parsed: unknown = body === '' ? [] : JSON.parse(body);
  if (!Array.isArray(parsed)) throw new Error(`ip -j gave no list: ${body.slice(0, 80)}`);
  const kept = parsed.filter((object: { ifname?: string; dev?: string }) => !isFallback(object.ifname ?? object.dev));
  const printed = kept.map((object) =>
    JSON.stringify(object, (key, value: unknown) => (volatile.has(key) ? undefined : value)),
  );
  return sorts ? printed.sort() : printed;
}

const isFallback = (name: string | undefined): boolean => name !== undefined && fallbackDevices.includes(name);

/** nft lists tables in the order they were made: sorted, each stays as it stands. */
const tables = (body: string): readonly string[] =>
  body
    .split(/^(?=table )/m)
    .map((table) => table.trimEnd())
    .filter((table) => table !== '')
    .sort();

function processes(body: string, own: ReadonlySet<number>): readonly string[] {
  const found = lines(body).flatMap((line) => {
    const match = /^name (.*) parent (\d+) pid (\d+)$/.exec(line);
    return match === null ? [] : [{ name: match[1] ?? '', parent: Number(match[2]), pid: Number(match[3]) }];
  });
  const parents = new Map(found.map(({ pid, parent }) => [pid, parent]));
  const isOwn = (pid: number | undefined): boolean => pid !== undefined && (own.has(pid) || isOwn(parents.get(pid)));
  return found
    .filter(({ pid }) => !isOwn(pid))
    .map(({ name }) => name)
    .sort();
}
