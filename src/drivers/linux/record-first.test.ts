/** The record of what is to stand is written before nft reads what it is to do: where it cannot be written, nft is given nothing. */
import { expect, test } from 'vitest';
import { startNamespace } from '../../lab/index.ts';
import { regularChain } from '../../nftables/index.ts';
import type { HostChange, HostObject } from '../../plan/index.ts';
import { namespaceTransport } from '../../transport/index.ts';
import { adding } from '../contract.ts';
import { linuxDriver } from '../index.ts';

const table: HostObject = { kind: 'nft', object: { kind: 'table', family: 'inet', table: 'sallyport' } };
const chain: HostObject = {
  kind: 'nft',
  object: { kind: 'chain', family: 'inet', table: 'sallyport', chain: regularChain('sp_new') },
};

for (const [size, line] of [
  ['a small one', 'x'],
  ['a large one, of which only what differs is sent', `${'x'.repeat(80)}\n`.repeat(2000)],
] as const)
  test(size, async () => {
    await using lab = await startNamespace();
    await lab.run(['ip', 'netns', 'add', 'edge']);
    const transport = namespaceTransport('edge', 'edge', {
      entry: ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'],
    });
    const driver = linuxDriver(transport);
    const folder = await transport.stateFolder();
    const path = `${folder}/record.json`;
    const record = (last: string): HostObject => ({ kind: 'file', path, mode: 0o600, content: `${line}${last}` });
    const { signal } = new AbortController();
    const ruleset = async () => (await transport.run({ argv: ['nft', 'list', 'ruleset'] })).stdout;
    const changes: readonly HostChange[] = [
      { action: 'change', before: record('old'), after: record('new') },
      adding(chain),
    ];

    await driver.apply([adding(record('old')), adding(table)], { signal });
    const before = await ruleset();
    expect(before).toContain('table inet sallyport');
    await lab.run(['mount', '--bind', folder, folder]);
    await lab.run(['mount', '-o', 'remount,bind,ro', folder]);
    const refused = await driver.apply(changes, { signal }).then(
      () => expect.fail('it was written on a read-only file system'),
      (error: unknown) => error,
    );
    expect(refused).toMatchObject({
      name: 'ApplyError',
      done: [],
      message: expect.stringMatching(/Read-only file system/),
    });
    expect(await ruleset()).toBe(before);

    await lab.run(['umount', folder]);
    await driver.apply(changes, { signal });
    expect(await ruleset()).toContain('chain sp_new');
    expect((await transport.run({ argv: ['tail', '-c', '3', path] })).stdout).toBe('new');
  });
