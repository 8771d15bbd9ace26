/** How the system's OpenSSH client is called. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GateWords } from './gate.ts';

export interface SshOptions {
  /** Address, name or alias that the OpenSSH client knows. */
  readonly address: string;
  /** 22: the client's own configuration may say another. */
  readonly port?: number;
  readonly user?: string;
  readonly identityFile?: string;
  /** The host's public key, as in known_hosts: `ssh-ed25519 AAAA…`. Absent: the client's own known_hosts decide. */
  readonly hostKey?: string;
  /** Commands run by `sudo -n` there: it must not ask for a password. */
  readonly become?: 'sudo';
  /** The login runs the host's gate and no shell; see gate.ts. */
  readonly gate?: GateWords;
  /** Whoever logs in will do: for looks that need no rights. */
  readonly anyUser?: boolean;
  /** An argument vector that goes before every ssh: `nsenter …` into a lab's namespaces. */
  readonly entry?: readonly string[];
  /** From the start of the client to the first word of the shell there, in milliseconds; 30,000 unless given. */
  readonly readyWithinMs?: number;
  /** Where the socket of the connection lies: a folder of its own below the temporary one unless named. */
  readonly folder?: string;
}

/** A link that is cut is noticed after so many seconds without an answer, asked three times. */
const SILENT_SECONDS = 15;
const CONNECT_SECONDS = 15;

/** The client's options for one host, without its address. A pinned key is put into `folder`. */
export async function clientOptions(
  folder: string,
  { port, user, identityFile, hostKey }: SshOptions,
): Promise<readonly string[]> {
  const pinned: string[] = [];
  if (hostKey !== undefined) {
    const file = join(folder, 'known_hosts');
    await writeFile(file, `${PINNED} ${hostKey}\n`, { mode: 0o600 });
    pinned.push(`HostKeyAlias=${PINNED}`, `UserKnownHostsFile=${file}`, 'GlobalKnownHostsFile=/dev/null');
    pinned.push('StrictHostKeyChecking=yes', 'UpdateHostKeys=no', 'VerifyHostKeyDNS=no');
  }
  const set = [
    'BatchMode=yes',
    `ConnectTimeout=${CONNECT_SECONDS}`,
    `ServerAliveInterval=${SILENT_SECONDS / 3}`,
    'ServerAliveCountMax=3',
    'ControlPersist=no',
    'ForwardAgent=no',
    'ForwardX11=no',
    'ClearAllForwardings=yes',
    'RequestTTY=no',
    'RemoteCommand=none',
    'PermitLocalCommand=no',
    ...pinned,
  ];
  return [
    ...set.flatMap((option) => ['-o', option]),
    ...(port === undefined || port === 22 ? [] : ['-p', String(port)]),
    ...(user === undefined ? [] : ['-l', user]),
    ...(identityFile === undefined ? [] : ['-i', identityFile, '-o', 'IdentitiesOnly=yes']),
  ];
}

/** What the pinned key is called in the file that holds it alone. */
const PINNED = 'sallyport-pinned';

/** The client finds the user's agent by it. */
export const clientEnvironment = (): Readonly<Record<string, string>> => {
  const { SSH_AUTH_SOCK, HOME, USER } = process.env;
  return {
    ...(SSH_AUTH_SOCK !== undefined && { SSH_AUTH_SOCK }),
    ...(HOME !== undefined && { HOME }),
    ...(USER !== undefined && { USER }),
  };
};
