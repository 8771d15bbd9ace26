/** The bucket that is reckoned here is the one that the kernel finds, for real packets. */
import { expect, test } from 'vitest';
import { startNamespace } from '../lab/index.ts';
import { parseAddress } from '../net/index.ts';
import { BUCKETS, bucketOf } from './spread.ts';

const SEED = 0x5a11_9027;

/** FAMILY SOURCE...: a datagram from each source. */
const SEND = `
my $family = shift;
for my $from (@ARGV) {
  socket(my $s, $family == 4 ? PF_INET : PF_INET6, SOCK_DGRAM, 0) or die;
  bind($s, $family == 4 ? pack_sockaddr_in(0, inet_aton($from)) : pack_sockaddr_in6(0, inet_pton(AF_INET6, $from))) or die "bind $from: $!";
  send($s, 'x', 0, $family == 4 ? pack_sockaddr_in(9, inet_aton('127.0.0.1')) : pack_sockaddr_in6(9, inet_pton(AF_INET6, '::1'))) or die;
}
`;

for (const [family, ip, client, addresses] of [
  [4, 'ip', 'ip saddr', Array.from({ length: 60 }, (_, index) => `127.${index}.7.${index + 1}`)],
  [
    6,
    'ip6',
    'ip6 saddr & ffff:ffff:ffff:ffff::',
    Array.from({ length: 60 }, (_, index) => `fd00:${index}::${index + 1}`),
  ],
] as const)
  test(`of IPv${family}`, async () => {
    await using kernel = await startNamespace();
    await kernel.run(['ip', 'link', 'set', 'lo', 'up']);
    const batch = addresses.map((each) => `addr add ${each}/128 dev lo nodad\n`).join('');
    if (family === 6) await kernel.run(['ip', '-batch', '-'], { stdin: batch });
    // Each packet is counted where address and bucket meet: of a wrong bucket nothing is counted.
    const rules = addresses.map((each) => {
      const address = parseAddress(each);
      if (address === undefined) throw new TypeError(each);
      return `${ip} saddr ${each} jhash ${client} mod ${BUCKETS} seed ${SEED} ${bucketOf(address, SEED)} counter`;
    });
    const chain = `chain c { type filter hook output priority 0;\n${rules.join('\n')}\n }`;
    await kernel.run(['nft', '-f', '-'], { stdin: `table inet t {\n ${chain}\n}\n` });
    await kernel.run(['perl', '-MSocket=:all', '-e', SEND, String(family), ...addresses]);
    const { stdout } = await kernel.run(['nft', 'list', 'chain', 'inet', 't', 'c']);
    expect(stdout.match(/counter packets 1 /g)?.length).toBe(addresses.length);
  });
