import { dirname } from 'node:path';
import type { Driver } from '../../apply/index.ts';
import { NAMESPACE_STATES, script, type Transport, TransportError } from '../../transport/index.ts';
import { applyChanges } from './apply.ts';
import { forgetKeys, makeKeys, presharedKeyFile } from './keys.ts';
import { type LinkSupport, observe, probeLinks } from './observe.ts';
import { startReadings } from './readings.ts';
import { FORGET_UNRECORDED } from './scripts.ts';
import { undoOf } from './undo.ts';
import { watch } from './watch.ts';

/** What hosts with one kernel (this machine and its network namespaces) need to ask only once. */
export interface SharedKernel {
  support?: Promise<LinkSupport | undefined>;
}

/** Programs a Linux host by nft, ip, wg and /proc/sys. `kernel` where it is also other hosts'. */
export function linuxDriver(transport: Transport, kernel?: SharedKernel): Driver {
  // What links the kernel can make does not change while we run.
  let support: LinkSupport | undefined;
  const readings = startReadings();
  return {
    async observe(signal) {
      if (kernel !== undefined) {
        // A host that cannot tell says why when it is looked at.
        kernel.support ??= probeLinks(transport, signal).catch(() => undefined);
        support ??= await kernel.support;
      }
      const facts = await observe(transport, support, readings, signal);
      const { wireguard, vxlan, flowtables = 'unknown', absentKinds } = facts;
      support = { wireguard, vxlan, flowtables, ...(absentKinds !== undefined && { absentKinds }) };
      return facts;
    },
    watch: (onNotice, signal) => watch(transport, onNotice, signal),
    makeKeys: (links, signal) => makeKeys(transport, links, signal),
    takePresharedKey: async (name, text, signal) =>
      transport.writeFile(presharedKeyFile(await transport.stateFolder(signal), name), text, 0o600, { signal }),
    forgetKeys: (signal) => forgetKeys(transport, signal),
    apply: (changes, options) =>
      applyChanges(
        transport,
        async () => {
          support ??= await probeLinks(transport);
          return support;
        },
        changes,
        options,
      ),
    undo: (changes, facts, signal) =>
      undoOf(
        transport,
        async () => {
          support ??= await probeLinks(transport, signal);
          return support;
        },
        { changes, facts },
        signal,
      ),
    forget: (signal) => removeFolder(transport, (folder) => ['rm', '-rf', '--', folder], signal),
    forgetUnrecorded: (signal) => removeFolder(transport, (folder) => script(FORGET_UNRECORDED, folder), signal),
  };
}

async function removeFolder(
  transport: Transport,
  removal: (folder: string) => readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const folder = await transport.stateFolder(signal);
  const argv = removal(folder);
  const { status, stderr } = await transport.run({ argv }, signal);
  if (status !== 0) throw new TransportError(transport.host, argv, `${folder} cannot be removed: ${stderr.trim()}`);
  if (!folder.startsWith(NAMESPACE_STATES)) return;
  // The folders above go with the last of their kind.
  for (const above of [NAMESPACE_STATES, dirname(NAMESPACE_STATES)])
    await transport.run({ argv: ['rmdir', '--ignore-fail-on-non-empty', '--', above] }, signal);
}
