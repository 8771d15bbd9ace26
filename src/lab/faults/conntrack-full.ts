import type { Lab } from '../lab.ts';
import { type LabFault, on, unanswered } from './fault.ts';
import { forward, home, PUBLIC } from './home.ts';

const PORT = 8080;

/**
 * As `conntrack -I` does it, a thousand entries a message (nfnetlink_conntrack.h): seen in both directions, assured and confirmed
 * (IPS_ of nf_conntrack_common.h), so that none is thrown out for a new one. One process an entry, or a line, takes ten times as long.
 */
export const INSERT_ENTRIES = `
import socket, struct, sys
count = int(sys.argv[1])
attribute = lambda kind, data: struct.pack('=HH', 4 + len(data), kind) + data + bytes(-len(data) % 4)
nested = lambda kind, *parts: attribute(kind | 0x8000, b''.join(parts))
def half(kind, source, target, sport, dport):
    return nested(kind, nested(1, attribute(1, source), attribute(2, target)),
        nested(2, attribute(1, bytes([17])), attribute(2, struct.pack('!H', sport)), attribute(3, struct.pack('!H', dport))))
def entry(port):
    near, far = b'FROM', socket.inet_aton('10.99.0.1')
    body = bytes([2, 0, 0, 0]) + half(1, near, far, port, 9) + half(2, far, near, 9, port) + attribute(3, struct.pack('!I', 14)) + attribute(7, struct.pack('!I', 600))
    return struct.pack('=IHHII', 16 + len(body), 1 << 8, 0x601, 0, 0) + body
thousand = [entry(1024 + index) for index in range(1000)]
sender = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
sender.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)
for begin in range(0, count, 1000):
    part = b''.join(thousand[:min(1000, count - begin)])
    sender.send(part.replace(b'FROM', struct.pack('!I', (10 << 24) + 65536 + begin // 1000)))
`;

/** Fills the router's table to a share of it, with flows of UDP that were answered, which give way to nobody. */
async function fill(lab: Lab, share: number): Promise<void> {
  await lab.serve('server', { protocol: 'tcp', port: PORT });
  await on(
    lab,
    'router',
    `sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600 net.netfilter.nf_conntrack_udp_timeout_stream=600\n${forward('tcp', PORT)}`,
  );
  const max = Number(await on(lab, 'router', 'cat /proc/sys/net/netfilter/nf_conntrack_max'));
  await lab
    .host('router')
    .run(['python3', '-', String(Math.ceil(max * share))], { stdin: INSERT_ENTRIES, timeoutMs: 200_000 });
}

export const conntrackFull: LabFault = {
  code: 'conntrackFull',
  title: 'with the table of tracked connections full, new ones are dropped',
  topology: home('full'),
  host: 'router',
  inject: (lab) => fill(lab, 1.02),
  symptom: (lab) => unanswered(lab, 'client', PUBLIC, PORT),
  instead: {
    commands: ['conntrack -F 2>/dev/null'],
    why: "the limit is the whole machine's, and a namespace may not raise it: the flood is ended; a machine of its own is mended by `--fix` (src/cli/conntrack.test.ts, in the VM)",
  },
  nearMisses: [{ title: 'a twentieth full', make: (lab) => fill(lab, 0.05) }],
};
