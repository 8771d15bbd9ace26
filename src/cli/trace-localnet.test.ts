/** A forward to 127.0.0.1 (`route_localnet`): the kernel lets in what the model says it does. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Lab, startLab, type Topology } from '../lab/index.ts';
import { type Live, liveOf } from './testdata/live.ts';

const WALK: Topology = {
  name: 'localnet',
  hosts: [{ name: 'client' }, { name: 'gw' }],
  switches: [],
  cables: [
    {
      ends: [
        { at: 'client', interface: 'eth0', addresses: ['10.1.0.2/24'] },
        { at: 'gw', interface: 'eth0', addresses: ['10.1.0.1/24'] },
      ],
    },
  ],
};

let lab: Lab;
let live: Live;
beforeAll(async () => {
  lab = await startLab(WALK);
  live = liveOf(lab);
  await lab.serve('gw', { protocol: 'tcp', port: 5000 });
  await lab.host('gw').run(['nft', '-f', '-'], {
    stdin: 'table ip t { chain d { type nat hook prerouting priority -100; tcp dport 80 dnat to 127.0.0.1:5000; }; }',
  });
});
afterAll(async () => lab[Symbol.asyncDispose]());

test.each([
  ['0', '0', false],
  ['0', '1', true],
  ['1', '0', true],
])('route_localnet of all %s, of the link %s', async (all, own, works) => {
  const set = (link: string, value: string) => `net.ipv4.conf.${link}.route_localnet=${value}`;
  await lab.host('gw').run(['sysctl', '-qw', set('all', all), set('eth0', own)]);
  const [told] = await live.ask({ from: '10.1.0.2', to: '10.1.0.1:80/tcp' });
  const { ok } = await lab.connect('client', { protocol: 'tcp', to: '10.1.0.1', port: 80, timeoutMs: 300 });
  expect([told?.map((each) => each.works), ok]).toEqual([[works], works]);
  if (!works)
    expect(told?.[0]?.fix).toBe(
      'on gw: sysctl -w net.ipv4.conf.eth0.route_localnet=1, or another address than one of 127.0.0.0/8',
    );
});
