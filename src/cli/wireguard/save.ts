/** SaveConfig: what the tunnel came to is written back, as wg-quick does, without comments. */
import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Transport } from '../../transport/index.ts';
import { printQuickFile, type QuickFile, readQuickFile } from '../../wireguard/index.ts';

/** Gives why not, where it cannot be. The file has keys: 0600, whole or not at all. */
export async function saveConf(
  path: string,
  file: QuickFile,
  link: string,
  transport: Transport,
): Promise<string | undefined> {
  const { status, stdout, stderr } = await transport.run({ argv: ['wg', 'showconf', link] });
  const shown = status === 0 ? readQuickFile(stdout) : undefined;
  if (shown?.kind !== 'file') return `SaveConfig: wg showconf ${link}: ${stderr.trim() || 'not understood'}`;
  const { listenPort } = shown.file.interface;
  const text = printQuickFile({
    interface: { ...file.interface, ...(listenPort !== undefined && { listenPort }) },
    peers: shown.file.peers,
  });
  const beside = `${path}.sallyport`;
  try {
    writeFileSync(beside, text, { mode: 0o600 });
    chmodSync(beside, 0o600);
    renameSync(beside, path);
    return undefined;
  } catch (error) {
    rmSync(beside, { force: true });
    return `SaveConfig: ${error instanceof Error ? error.message : error}`;
  }
}
