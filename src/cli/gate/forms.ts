/**
 * All that a gate lets through, a line each: CLASS STDIN WORD…. What is not here is refused; a text for a shell that is new needs its line here, or its
 * reason in NOT_THROUGH_A_GATE.
 *
 * CLASS: `r` what is asked, also many at once; `c` what changes, also in a way back and after a boot; `w` the same of what is no part of those;
 * `f` what goes on, and ends with its stdin; `x` the rest; `b` functions of restore.sh.
 * STDIN: `-` none; `*` open, for as long as somebody listens; `n` our table for nft; `i` lines of ip; `l` of conntrack; `u` the way back of a change; `w` a file
 * of the state folder; `?` as the command in it.
 * WORD: as it is; `<kind>` (check.ts); `@NAME` the text of that name; `=/` the state folder, `=//file` in it; `=` empty; `[ … ]` again and again.
 */
export const FORMS: readonly string[] = [
  // Armed, confirmed, taken back.
  'x u sh -c @ARM sh =//pending <ms> <token> <title> <number> [ <statefile> ]',
  ...['BEAT', 'CONFIRM', 'TAKE_BACK', 'IS_PENDING'].map((name) => `x - sh -c @${name} sh =//pending <token>`),
  'x - sh -c @SETTLE sh =//pending',
  'x - rm -rf -- =//pending',
  'r - sh -c @PENDING sh =//pending',
  'x ? sh -c @GUARD sh =//pending <token> <number> <guarded>',
  'f * sh -c @ASK_AROUND sh <asked> [ <ipfamily> <address> <linkorno> ]',
  // One at a time.
  'w w sh -c @WRITE_FILE sh <ownfile> <mode> <number>',
  'x - ln -T <draft> =//lock',
  'x - flock =/ sh -c @TAKE_OVER sh =//lock <title> <draft>',
  'x - rm -f -- <draft>',
  'x - sh -c @GIVE_FREE sh =/ <title>',
  'x - sh -c @END_GROUP sh <number>',
  // Files of the state folder, which goes last.
  'r - sh -c @READ_FILE sh =//record.json',
  'r - sh -c @READ_FILE sh =//lock',
  'w - rm -f -- <statefile>',
  'x - rm -rf -- =/',
  'x - rmdir --ignore-fail-on-non-empty -- /run/sallyport/netns',
  'x - rmdir --ignore-fail-on-non-empty -- /run/sallyport',
  // Keys: they are made there, and stay.
  'x - sh -c @MAKE_KEYS sh =//keys [ <keyname> ]',
  'x - sh -c @FORGET_KEYS sh =/',
  'x - sh -c @FORGET_UNRECORDED sh =/',
  'c - sh -c @EXCHANGE_KEY sh =//keys <link> <key> wg set <wg>',
  'c - wg set <wg>',
  'r - wg show <link> <counters>',
  // Packet rules: our table alone.
  'c n nft -f -',
  'r - nft -j list table <tablefamily> <name>',
  'r - sh -c @LIST sh <generation> =',
  'b n table',
  'b n fast <name>',
  // Flows of ours, by their mark.
  'w n sh -c @CHANGE_AND_END sh <ends> <listing> <listing>',
  'w n sh -c @CHANGE_AND_END_EACH sh <ends>',
  'w - sh -c @LIST_FLOWS sh <listing> <listing>',
  'w l sh -c @END_FLOWS sh <how>',
  // Links, addresses, routes and rules: ours, by name and protocol.
  ...['-batch -', '-6 -batch -', '-force -batch -', '-force -6 -batch -'].map((words) => `c i ip ${words}`),
  'c - ip <ip>',
  'c i sh -c @TRY sh ip -force -batch -',
  'c - sh -c @START_WIREGUARD_GO sh <link> ip <ip>',
  'c - sh -c @START_IF_ABSENT sh <link> =//wireguard ip <ip>',
  'c - sh -c @REMOVE_WIREGUARD sh <link>',
  'c - sh -c @REMOVE_WIREGUARD_IF_THERE sh <link>',
  'c - mkdir -p -m 700 =//wireguard',
  'r - ip -s -j link show dev <link>',
  'r - ip -j neigh show nud failed',
  'r - ping -n -q -c 6 -i 0.2 -W 0.3 -I <link> <address>',
  ...['PUT_SYSCTLS', 'WRITE_SYSCTLS', 'RESTORE_SYSCTLS'].map((name) => `c - sh -c @${name} sh [ <sysctl> <value> ]`),
  // Files of network daemons and of systemd: these very texts.
  'c - sh -c @CHANGE_DAEMON_FILES sh =/ <daemon> <daemonmark> [ <daemonfile> <daemontext> ]',
  'c - sh -c @UNLESS_IT_SAYS sh <daemonfile> <daemontext> sh -c @CHANGE_DAEMON_FILES sh =/ <daemon> <daemonmark> [ <daemonfile> <daemontext> ]',
  // Targets, which "run" asks.
  'f * sh -c @ASK sh <prober> <once> [ <number> <address> <number> <probe> ]',
];

/** Texts for a shell that a gate has not, and why: `apply`, `doctor --fix` and `plan --adopt` say so where they would need them. */
export const NOT_THROUGH_A_GATE: ReadonlyMap<string, string> = new Map([
  ...['EXCHANGE_NFT', 'EXCHANGE_IPTABLES', 'RESTORE_IPTABLES', 'TELL_FIREWALLD'].map(
    (name) => [name, 'changes rules in the firewalls of others'] as const,
  ),
  ...['DELETE_NFT_RULE', 'EXCHANGE_LEGACY', 'INSERT_UNLESS_LISTED', 'PUT_BACK_IPTABLES', 'REMOVE_FILE'].map(
    (name) => [name, 'changes what others made'] as const,
  ),
  ['CHANGE_FILE', 'a file that is made of another cannot be judged before it is made'],
  ['INSTALL', 'installs packages'],
  ['LOOK', 'looks at a host before there is a gate'],
  ['PUT_LINE', 'lets a key in'],
  ...['FIND_NAMESPACE', 'WITH_SOCKETS'].map((name) => [name, 'namespaces of this machine alone'] as const),
]);

/** What plans of ours say to nft, beside names that begin with `sp_`, numbers and addresses. Nothing of it reads a file, or sends copies. */
export const NFT_WORDS =
  'accept add comment counter ct daddr direction dnat drop ether fib flags flow flush goto icmp icmpv6 icmpx iif iifname ip ip6 jhash jump l4proto length limit map mark masquerade maxseg meta mod nat nfproto notrack numgen option oifname proto-dst protocol random redirect reject return saddr set size snat sport dport status symhash tcp th timeout to type udp update vmap with zone ' +
  'add chain count delete device devices dynamic element elements filter flowtable hook interval gc-interval auto-merge policy priority route rule over rate burst packets bytes second minute hour day week ' +
  'forward inet ingress input output postrouting prerouting original reply local lo checksum offset seed unicast broadcast multicast anycast ' +
  'state established related new invalid untracked assured syn ack rst fin psh urg snat dnat once reset exists missing ' +
  'destination-unreachable time-exceeded parameter-problem packet-too-big echo-request echo-reply nd-neighbor-solicit nd-neighbor-advert nd-router-solicit nd-router-advert host-unreachable net-unreachable port-unreachable admin-prohibited no-route addr-unreachable ' +
  'ipv4 ipv6 ipv4_addr ipv6_addr inet_proto inet_service ifname verdict ether_addr';
