/** A real sshd, and what a client of it needs. */
import { join } from 'node:path';
import type { Runner, RunningCommand } from './command.ts';

export interface Sshd extends AsyncDisposable {
  readonly port: number;
  /** Shown to the client as `access.ssh.hostKey`. */
  readonly hostKey: string;
  readonly identityFile: string;
  /** For the client's socket; seen from inside the lab too. */
  readonly folder: string;
  /** The logins it has seen so far. */
  logins(): number;
  /** Nobody logs in any more; who is in stays. */
  stop(): Promise<void>;
  /** After a stop. */
  start(): Promise<void>;
}

/** Started where `lab` stands; `more` are lines of sshd_config(5). */
export async function startSshd(lab: Runner, more: readonly string[] = [], port = 2222): Promise<Sshd> {
  // Not /tmp or /run: a lab has its own.
  const folder = (await lab.run(['mktemp', '-d', '/var/tmp/sp-sshd-XXXXXX'])).stdout.trim();
  const at = (name: string): string => join(folder, name);
  for (const key of ['host', 'client'])
    await lab.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', key, '-f', at(key)]);
  const config = [
    ...[
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${at('host')}`,
      `AuthorizedKeysFile ${at('client.pub')} .ssh/authorized_keys`,
    ],
    ...[
      'PidFile none',
      'StrictModes no',
      'UsePAM no',
      'PermitRootLogin yes',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
    ],
    ...more,
  ];
  await lab.run(['mkdir', '-p', '/run/sshd']);
  // What this machine's own .bashrc does is no part of a test.
  await lab.run(['mount', '-n', '-t', 'tmpfs', 'tmpfs', '/root']);
  await lab.run(['tee', at('config')], { stdin: `${config.join('\n')}\n` });
  let log = '';
  const start = async (): Promise<RunningCommand> => {
    const program = await lab.spawn(['/usr/sbin/sshd', '-D', '-e', '-f', at('config')]);
    program.stdout.resume();
    let said = '';
    await new Promise<void>((ready, fail) => {
      program.stderr.on('data', (chunk: Buffer) => {
        log += chunk.toString('utf8');
        said += chunk.toString('utf8');
        if (said.includes('Server listening')) ready();
      });
      void program.exited.then((status) => fail(new Error(`sshd ended with status ${status}: ${said}`)));
    });
    return program;
  };
  let program = await start();
  return {
    ...{ port, folder, identityFile: at('client') },
    async stop() {
      program.kill('SIGTERM');
      await program.exited;
    },
    async start() {
      program = await start();
    },
    hostKey: (await lab.run(['cat', at('host.pub')])).stdout.trim(),
    logins: () => log.match(/^Accepted publickey/gm)?.length ?? 0,
    async [Symbol.asyncDispose]() {
      await program[Symbol.asyncDispose]();
      await lab.run(['rm', '-rf', folder]);
    },
  };
}
