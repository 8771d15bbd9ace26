import { expect, test } from 'vitest';
import { startNamespace } from '../lab/index.ts';
import { readSysctls, sysctlCommand } from './index.ts';

test('one command reads single keys and those of every interface, a dot in its name included', async () => {
  await using kernel = await startNamespace();
  const setUp = 'link add name sp-a.7 type veth peer name v1\n';
  await kernel.run(['ip', '-batch', '-'], { stdin: setUp });
  const sysctls: Record<string, string> = {
    'net/ipv4/ip_forward': '1',
    'net/ipv4/conf/sp-a.7/rp_filter': '2',
    'net/ipv4/conf/lo/rp_filter': '0',
    'net/ipv6/conf/sp-a.7/forwarding': '1',
    'net/ipv4/ip_local_port_range': '40000\t50000',
  };
  for (const [path, value] of Object.entries(sysctls)) {
    await kernel.run(['tee', `/proc/sys/${path}`], { stdin: value });
  }
  const asked = [
    ...[
      'net/ipv4/conf/*/rp_filter',
      'net/ipv6/conf/*/forwarding',
      'net/ipv4/ip_forward',
      'net/ipv4/conf/all/rp_filter',
    ],
    ...['net/ipv4/ip_local_port_range', 'net/absent/key', 'net/ipv4/conf/absent/rp_filter'],
  ];
  const { stdout, status } = await kernel.run(sysctlCommand(asked), { allowFailure: true });
  const read = readSysctls(stdout);
  expect(status).toBe(2); // two of them do not exist
  expect(Object.fromEntries([...read].filter(([path]) => path in sysctls))).toEqual(sysctls);
  expect(read.get('net/ipv4/conf/all/rp_filter')).toBe('0'); // asked for twice, printed once
  expect(read.has('net/absent/key')).toBe(false);
});

test('values with a colon, empty ones and those of several lines stay whole', () => {
  const text = '/proc/sys/net/a:1:2\n/proc/sys/net/b:\n/proc/sys/net/c:x\n/proc/sys/net/c:\n/proc/sys/net/c:y\n';
  expect(readSysctls(text)).toEqual(
    new Map([
      ['net/a', '1:2'],
      ['net/b', ''],
      ['net/c', 'x\n\ny'],
    ]),
  );
});

test('no output: no sysctls', () => expect(readSysctls('')).toEqual(new Map()));

for (const line of ['grep: not found', '/etc/passwd:root', '/proc/sys/net/ipv4/ip_forward']) {
  test(`refused: ${line}`, () => expect(() => readSysctls(`${line}\n`)).toThrow(`not a path and its value: "${line}"`));
}
