/** What somebody does on a host behind our back: status and plan say what, and who it looks like, by what they find there. */
import { expect, test } from 'vitest';
import { startUfw } from '../lab/index.ts';
import { slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';

test('each thing that was done is told with who it looks like, in text and JSON, and gone when it is put right', async () => {
  await using cli = await startCliLab();
  const file = await cli.documents('edge.yaml', slimEdgeDocuments());
  const [edge, node] = [cli.lab.host('edge'), cli.lab.host('node')];
  const apply = async () => expect(await cli.sallyport('apply', '-f', file, '--yes')).toMatchObject({ status: 0 });
  const etc = (path: string, text: string) => cli.lab.run(['tee', path], { stdin: text });
  await apply();
  expect((await cli.sallyport('status', '-f', file, '--wait', '10s')).status).toBe(0);

  /** What status and plan say of it; plan names as much. */
  const told = async (): Promise<string> => {
    const [status, plan] = [await cli.sallyport('status', '-f', file), await cli.sallyport('plan', '-f', file)];
    const lines = (text: string) =>
      text.split('\n').flatMap((line) => (line.includes('behind our back') ? [line.trim()] : []));
    expect(lines(plan.stdout)).toEqual(lines(status.stdout));
    return status.stdout;
  };
  const nobody = 'nobody is known to do that';

  await edge.run(['nft', 'flush', 'ruleset']);
  expect(await told()).toContain(
    '  changed behind our back: the table inet sallyport is gone: looks like a person\n    nft list tables: none\n',
  );
  const { value } = await cli.json('status', '-f', file);
  expect(value).toMatchObject({
    hosts: [
      {
        host: 'edge',
        drift: expect.arrayContaining([expect.objectContaining({ name: 'table inet sallyport', who: 'a person' })]),
        suspects: [{ did: 'the table inet sallyport is gone', who: 'a person', changes: expect.any(Number) }],
      },
      { host: 'node', drift: [], suspects: [] },
    ],
  });
  await apply();

  // The file of Debian's package, loaded as nftables.service does.
  await etc('/etc/nftables.conf', '#!/usr/sbin/nft -f\n\nflush ruleset\n\ntable inet filter {\n}\n');
  await edge.run(['nft', '-f', '/etc/nftables.conf']);
  expect(await told()).toContain(
    'the table inet sallyport is gone: looks like whoever loads /etc/nftables.conf\n    /etc/nftables.conf:3:flush ruleset\n    nft list tables: inet filter\n',
  );
  await apply();
  await edge.run(['nft', 'delete', 'table', 'inet', 'filter']);

  await edge.run(['sh', '-ec', 'nft flush map inet sallyport sp_to4']);
  expect(await told()).toContain('element of sp_to4 in the table inet sallyport is gone: looks like a person');
  await apply();

  await node.run([
    'sh',
    '-ec',
    'for p in $(ip -j rule | tr "{" "\\n" | sed -n \'s/.*"priority":\\([0-9]*\\).*"fwmark".*/\\1/p\'); do ip rule del priority $p; done',
  ]);
  expect(await told()).toContain(`a routing rule of ours is gone: ${nobody}`);
  await apply();

  await etc('/etc/sysctl.d/99-hardening.conf', 'net.ipv4.ip_forward = 0\n');
  await edge.run(['sysctl', '-q', '-w', 'net.ipv4.ip_forward=1']);
  await edge.run(['sysctl', '-q', '-p', '/etc/sysctl.d/99-hardening.conf']);
  expect(await told()).toContain(
    'net.ipv4.conf.eth0.forwarding is 0: looks like sysctl --system (systemd-sysctl)\n    /etc/sysctl.d/99-hardening.conf:1 sets net.ipv4.ip_forward = 0\n',
  );
  await cli.lab.run(['rm', '/etc/sysctl.d/99-hardening.conf']);
  await apply();

  // ufw is enabled by somebody: its own chains would stop us now.
  await startUfw(cli.lab, 'edge');
  expect(await told()).toContain(
    'what lets our packets through in ufw is not there as we put it: looks like ufw\n    its own rules are there: ufw-user-*\n',
  );
  await apply();
  expect((await cli.sallyport('status', '-f', file, '--wait', '10s')).stdout).not.toContain('behind our back');
}, 180_000);
