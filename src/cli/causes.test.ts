import { expect, test } from 'vitest';
import { causeOf, readSettings } from './causes.ts';

const lines = readSettings(`/etc/sysctl.d/10-a.conf:3:net.ipv4.ip_forward = 0
/etc/sysctl.d/10-a.conf:4:  -net.ipv6.conf.all.forwarding=0
/run/sysctl.d/20-b.conf:1:net/ipv4/conf/eth0.100/forwarding = 0
/run/sysctl.d/20-b.conf:2:net.ipv4.conf.eth0/200.forwarding = 0
/usr/lib/sysctl.d/50-default.conf:9:net.ipv4.conf.*.rp_filter = 1
/usr/lib/sysctl.d/50-default.conf:10:-net.ipv4.conf.all.rp_filter
/etc/sysctl.conf:2:net.netfilter.nf_conntrack_max = 1024 
/etc/sysctl.conf:3:net.ipv6.conf.eth0.accept_ra = 1
/etc/sysctl.conf:4:net.ipv6.conf.eth0.accept_ra = 0`);

for (const [path, now, cause] of [
  ['net/ipv4/conf/eth0/forwarding', '0', '/etc/sysctl.d/10-a.conf:3 sets net.ipv4.ip_forward = 0'],
  ['net/ipv6/conf/all/forwarding', '0', '/etc/sysctl.d/10-a.conf:4 sets net.ipv6.conf.all.forwarding = 0'],
  [
    'net/ipv4/conf/eth0.100/forwarding',
    '0',
    '/etc/sysctl.d/10-a.conf:3 sets net.ipv4.ip_forward = 0, /run/sysctl.d/20-b.conf:1 sets net/ipv4/conf/eth0.100/forwarding = 0',
  ],
  [
    'net/ipv4/conf/eth0.200/forwarding',
    '0',
    '/etc/sysctl.d/10-a.conf:3 sets net.ipv4.ip_forward = 0, /run/sysctl.d/20-b.conf:2 sets net.ipv4.conf.eth0/200.forwarding = 0',
  ],
  ['net/ipv4/conf/sp-x/rp_filter', '1', '/usr/lib/sysctl.d/50-default.conf:9 sets net.ipv4.conf.*.rp_filter = 1'],
  ['net/ipv4/conf/sp-x/rp_filter', '0', undefined],
  ['net/netfilter/nf_conntrack_max', '1024', '/etc/sysctl.conf:2 sets net.netfilter.nf_conntrack_max = 1024'],
  ['net/ipv6/conf/eth0/accept_ra', '1', '/etc/sysctl.conf:3 sets net.ipv6.conf.eth0.accept_ra = 1'],
  ['net/ipv6/conf/default/accept_ra', '1', undefined],
] as const)
  test(`${path} is ${now}: ${cause ?? 'nobody is named'}`, () => expect(causeOf(path, now, lines)).toBe(cause));
