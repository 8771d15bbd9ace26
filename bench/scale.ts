/** How long rules take to load, one by one or all, and what the kernel keeps for them: on a host apart, by text and process start. */
import type { Folder } from './documents.ts';
import { timed } from './measure.ts';
import { kernelMemory } from './memory.ts';
import { type SCALED, scaled } from './plane.ts';
import { note, type Samples } from './rounds.ts';
import { type Change, elementChange, type Input, iptablesChange, iptablesRules, nftMore, nftRules } from './rules.ts';
import { type Pair, type Site, SPARE } from './site.ts';

type Kind = (typeof SCALED)[number];

const TIMEOUT = { timeoutMs: 120_000 } as const;

/** Loads `size` forwards of each kind, adds one more, moves one, and clears. */
export async function measureLoading(
  site: Site,
  folder: Folder,
  size: number,
  kinds: readonly Kind[],
  into: Samples,
): Promise<void> {
  const spare = site.lab.host(SPARE);
  for (const kind of kinds) {
    const { name } = scaled(kind, size);
    const argv = await loading(site, folder, kind, size);
    const before = await kernelMemory();
    note(into, name, 'full load', await timed(() => spare.run(argv, TIMEOUT)));
    note(into, name, 'kernel memory', (((await kernelMemory()) - before) * 1024) / size);
    for (const change of ['more', 'moved'] as const) {
      const input = changing(kind, site.pair(name), size, change);
      if (input === undefined) continue;
      const { argv, stdin } = input;
      note(into, name, `one ${change}`, await timed(() => spare.run(argv, { stdin, ...TIMEOUT })));
    }
    await spare.run(['nft', 'flush', 'ruleset'], TIMEOUT);
  }
}

/** Undefined: a rule of nft's is moved by its handle alone, which must be looked for first. */
function changing(kind: Kind, pair: Pair, size: number, change: Change): Input | undefined {
  switch (kind) {
    case 'sallyport':
      return elementChange(pair, size, change);
    case 'iptables':
      return iptablesChange(pair, size, change);
    case 'nft':
      return change === 'more' ? nftMore(pair, size) : undefined;
  }
}

/** The command that loads all at once, its text in a file. Of Sallyport the very table that stands at its edge. */
async function loading({ lab, pair }: Site, folder: Folder, kind: Kind, size: number): Promise<readonly string[]> {
  const { name } = scaled(kind, size);
  const file = `load-${name}`;
  switch (kind) {
    case 'sallyport': {
      const { stdout } = await lab.host(pair(name).edge).run(['nft', 'list', 'table', 'inet', 'sallyport'], TIMEOUT);
      return ['nft', '-f', await folder.write(file, stdout)];
    }
    case 'iptables':
      return ['iptables-restore', await folder.write(file, iptablesRules(pair(name), size))];
    case 'nft':
      return ['nft', '-f', await folder.write(file, nftRules(pair(name), size))];
  }
}
