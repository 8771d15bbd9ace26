/** Whether anything is written to a host's kernel: nft and ip monitor, read between two marks of our own. For tests. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabHost } from '../../lab/index.ts';

/** Runs `work` and gives what the kernel reported meanwhile: nothing if nothing was written. */
export async function writesDuring(host: LabHost, work: () => Promise<void>): Promise<string> {
  await using nft = await host.spawn(['stdbuf', '-oL', 'nft', 'monitor']);
  await using ip = await host.spawn(['stdbuf', '-oL', 'ip', 'monitor', 'link', 'address', 'route', 'rule']);
  let [nftText, ipText] = ['', ''];
  nft.stdout.on('data', (chunk: Buffer) => {
    nftText += chunk.toString();
  });
  ip.stdout.on('data', (chunk: Buffer) => {
    ipText += chunk.toString();
  });
  let last = 0;
  /** Writes marks until both monitors have reported one: they may not listen from the start. */
  const mark = async (): Promise<readonly [string, string]> => {
    for (;;) {
      last += 1;
      const [table, address] = [`mark${last}x`, `203.0.113.${last}`];
      await host.run(['nft', 'add', 'table', 'ip', table]);
      await host.run(['ip', 'route', 'add', address, 'dev', 'lo', 'table', '78']);
      for (let turn = 0; turn < 50; turn++) {
        // The generation line ends a transaction.
        if (
          new RegExp(`add table ip ${table}\n# new generation .*\n`).test(nftText) &&
          ipText.includes(`${address} dev`)
        ) {
          return [table, address];
        }
        await sleep(10);
      }
    }
  };
  const [firstTable, firstAddress] = await mark();
  await work();
  const [lastTable, lastAddress] = await mark();
  const nftReport = between(
    nftText,
    new RegExp(`add table ip ${firstTable}\n# new generation .*\n`),
    `add table ip ${lastTable}`,
  );
  const ipReport = between(ipText, new RegExp(`${firstAddress} dev.*\n`), `${lastAddress} dev`);
  for (let mine = 1; mine <= last; mine++) await host.run(['nft', 'delete', 'table', 'ip', `mark${mine}x`]);
  await host.run(['ip', 'route', 'flush', 'table', '78']);
  return `${nftReport}${ipReport}`;
}

function between(text: string, start: RegExp, end: string): string {
  const begin = start.exec(text);
  if (begin === null) throw new Error(`no mark in: ${text}`);
  const from = begin.index + begin[0].length;
  return text.slice(from, text.indexOf(end, from));
}
