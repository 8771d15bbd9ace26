import type { Access } from '../../resources/index.ts';
import { localTransport, sshTransport, type Transport } from '../../transport/index.ts';
import { CommandFailure, DONE, FAILED, UsageError } from '../exit.ts';
import { type HostLook, lookAtHost, openLook, sshOptions } from '../host-look.ts';
import { nameHost } from '../host-name.ts';
import { type Installation, install, planInstallation } from '../host-packages.ts';
import { printPreparation } from '../host-text.ts';
import { listenForInterrupt } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { confirm, someoneIsThere } from '../terminal.ts';

export interface PrepareFlags {
  readonly file?: readonly string[];
  readonly yes?: boolean;
}

/** Finds what a host lacks and installs it where that was tried (Debian, Ubuntu), or shows how. 1 where something is still missing. */
export async function prepareHost(output: Output, given: string, flags: PrepareFlags): Promise<number> {
  const { name, access, file } = await nameHost(given, flags.file);
  using interrupt = listenForInterrupt(true);
  output.progress(`looking at ${name}`);
  const transport = openLook(name, access, file ?? '.');
  const look = await lookAtHost(transport, interrupt.signal);
  const plan = planInstallation(look);
  const report = (installed: boolean, found = look) => ({ host: name, look: found, ...plan, installed });
  if (look.missing.length === 0 || plan.packages.length === 0 || !plan.isTried) {
    await output.result(report(false), () => printPreparation(name, look, plan));
    return look.missing.length === 0 ? DONE : FAILED;
  }
  if (output.format === 'text') await output.write(printPreparation(name, look, plan));
  await requireConsent(name, flags, interrupt.signal);
  interrupt.signal.throwIfAborted();
  output.progress(`installing ${plan.packages.join(', ')} on ${name}`);
  // To its end, whatever is typed: half a package is worse than one too many.
  await install(asRoot(name, look, access, file), plan);
  const after = await lookAtHost(transport);
  await output.result(report(true, after), () => printInstalled(name, plan, after));
  return after.missing.length === 0 ? DONE : FAILED;
}

async function requireConsent(name: string, { yes }: PrepareFlags, signal: AbortSignal): Promise<void> {
  if (yes === true) return;
  if (!someoneIsThere())
    throw new UsageError('host prepare asks before it installs, and stdin is no terminal: give --yes');
  if (!(await confirm(`Install this on ${name}?`, signal))) throw new CommandFailure(`${name}: nothing was installed`);
}

/** Where the documents say how to become root, so; else by sudo where it lets us. */
function asRoot(name: string, { root, user }: HostLook, access: Access, file: string | undefined): Transport {
  if (typeof root === 'object')
    throw new CommandFailure(
      `${name}: installing needs root, and ${user} cannot become it: ${root.refused}; nothing was installed`,
    );
  const become = root === 'sudo' ? ({ become: 'sudo' } as const) : {};
  return access.kind === 'ssh'
    ? sshTransport(name, { ...sshOptions(access, file ?? '.'), ...become })
    : localTransport(name, become);
}

const printInstalled = (name: string, { packages }: Installation, after: HostLook): string =>
  after.missing.length === 0
    ? `${name}: installed ${packages.join(', ')}; nothing is missing\n`
    : `${name}: installed ${packages.join(', ')}; still missing: ${after.missing.join(', ')}\n`;
