/** Keys by which a host is known: learned from it before anybody logs in, and compared. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProcessError, runProcess } from './process.ts';
import { missingProgram } from './programs.ts';
import { clientEnvironment, clientOptions, type SshOptions } from './ssh-client.ts';
import { sshReason } from './ssh-line.ts';
import { TransportError } from './transport.ts';

export interface LearnedKey {
  /** As in known_hosts: `ssh-ed25519 AAAA…`. */
  readonly hostKey: string;
  readonly fingerprint: string;
  /** What the client's own known_hosts say of the host: this very key, nothing, or another key. */
  readonly known: 'same' | 'unknown' | 'another';
}

/** As `ssh-keygen -lf` shows it: `SHA256:…`. Undefined of what is no public key. */
export function fingerprintOf(hostKey: string): string | undefined {
  const blob = /^(?:ssh|ecdsa|sk)-\S+ ([A-Za-z0-9+/]+={0,2})(?: |$)/.exec(hostKey)?.[1];
  if (blob === undefined) return undefined;
  return `SHA256:${createHash('sha256').update(Buffer.from(blob, 'base64')).digest('base64').replace(/=+$/, '')}`;
}

/**
 * The key that the host shows. Nobody logs in meanwhile: the client asks for nothing but the exchange of keys, so whoever answers learns no
 * more than a name. Throws a TransportError where it cannot be reached, or shows now one key and now another.
 */
export async function learnHostKey(host: string, options: SshOptions, signal?: AbortSignal): Promise<LearnedKey> {
  const { hostKey, ...unpinned } = options;
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-key-'));
  try {
    const client = [...(options.entry ?? []), 'ssh', ...(await clientOptions(folder, unpinned)), ...KEYS_ALONE];
    // First as the client has it, for it prefers the kinds of keys that it knows of a host; a pinned one is asked for by its kind.
    const strict = [...client, '-o', 'StrictHostKeyChecking=yes'];
    let usual = await exchange(host, [...strict, ...ofKind(hostKey)], options.address, signal);
    if (hostKey !== undefined && /no matching host key type/.test(usual.said))
      usual = await exchange(host, strict, options.address, signal);
    if (usual.fingerprint === undefined)
      throw new TransportError(host, ['ssh', options.address], `SSH: ${sshReason(usual.said)}`);
    const file = join(folder, 'learned');
    const apart = ['HostKeyAlias=learned', `UserKnownHostsFile=${file}`, 'GlobalKnownHostsFile=/dev/null'];
    const kind = usual.algorithm === undefined ? [] : [`HostKeyAlgorithms=${usual.algorithm}`];
    const settings = [...apart, ...kind, 'HashKnownHosts=no', 'StrictHostKeyChecking=accept-new'];
    const argv = [...client, ...settings.flatMap((setting) => ['-o', setting])];
    const learning = await exchange(host, argv, options.address, signal);
    const shown = keyIn(await readFile(file, 'utf8').catch(() => ''));
    const fingerprint = shown === undefined ? undefined : fingerprintOf(shown);
    if (shown === undefined || fingerprint === undefined)
      throw new TransportError(host, ['ssh', options.address], `SSH: ${sshReason(learning.said)}`);
    if (usual.fingerprint !== fingerprint) {
      const what = `it showed ${usual.fingerprint} and then ${fingerprint}: somebody may be in between, or several machines answer by this name`;
      throw new TransportError(host, ['ssh', options.address], `SSH: ${what}`);
    }
    return { hostKey: shown, fingerprint, known: usual.known };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** One kind of key may be used by several algorithms (RFC 8332). */
function ofKind(hostKey: string | undefined): readonly string[] {
  const [kind] = hostKey?.split(' ') ?? [];
  if (kind === undefined) return [];
  return ['-o', `HostKeyAlgorithms=${kind === 'ssh-rsa' ? 'rsa-sha2-512,rsa-sha2-256' : kind}`];
}

/** No key of ours is offered, no password asked, and no standing connection of the user's used. */
const KEYS_ALONE = [
  '-v',
  ...['PreferredAuthentications=none', 'ControlMaster=no', 'ControlPath=none', 'UpdateHostKeys=no'].flatMap((each) => [
    '-o',
    each,
  ]),
  ...['-o', 'VerifyHostKeyDNS=no', '-T'],
];

/** Three times what the client itself waits for an answer: it may go by way of other hosts. */
const EXCHANGE_MS = 45_000;

interface Exchange {
  readonly said: string;
  readonly fingerprint: string | undefined;
  readonly algorithm: string | undefined;
  readonly known: LearnedKey['known'];
}

async function exchange(
  host: string,
  client: readonly string[],
  address: string,
  signal: AbortSignal | undefined,
): Promise<Exchange> {
  try {
    const argv = [...client, '--', address, 'true'];
    const environment = clientEnvironment();
    const { stderr } = await runProcess(argv, { timeoutMs: EXCHANGE_MS, environment, signal });
    return readExchange(stderr.toString('utf8'));
  } catch (error) {
    if (!(error instanceof ProcessError)) throw error;
    const what = error.missing ? missingProgram('ssh') : `SSH: ${error.message}`;
    throw new TransportError(host, ['ssh', address], what, { cause: error });
  }
}

/** What `ssh -v` told. Of several hosts on the way (ProxyJump) the last one is it. */
function readExchange(stderr: string): Exchange {
  const withKey = stderr.slice(Math.max(0, stderr.lastIndexOf(SHOWN)));
  const algorithm = [...stderr.matchAll(/^debug1: kex: host key algorithm: ([\w@.-]+)/gm)].at(-1)?.[1];
  const fingerprint = withKey.startsWith(SHOWN) ? /SHA256:\S+/.exec(withKey)?.[0] : undefined;
  const matches = /^debug1: Host .* is known and matches/m.test(withKey);
  const changed = /IDENTIFICATION HAS CHANGED/.test(withKey);
  return {
    said: stderr.replace(/^(?:debug\d: |OpenSSH_|Authenticated to ).*\n?/gm, ''),
    fingerprint,
    algorithm,
    known: changed ? 'another' : matches ? 'same' : 'unknown',
  };
}

const SHOWN = 'debug1: Server host key: ';

/** The key of a known_hosts line. */
const keyIn = (line: string): string | undefined => / ((?:ssh|ecdsa|sk)-\S+ [A-Za-z0-9+/]+=*)/.exec(line)?.[1];

/** What is to be said where the client found another key than the one it knows, both by their fingerprints; undefined otherwise. */
export async function changedKey(stderr: string, pinned: string | undefined): Promise<string | undefined> {
  const kind = /^No (\S+) host key is known for/m.exec(stderr)?.[1];
  if (pinned !== undefined && kind !== undefined)
    return `its host key is another than the one that is known: it shows none of the kind of access.ssh.hostKey (${fingerprintOf(pinned)}), but one of ${kind}; ${COMPARE}`;
  if (!/IDENTIFICATION HAS CHANGED/.test(stderr)) return undefined;
  const shown = /^(SHA256:\S+?)\.?\r?$/m.exec(stderr)?.[1] ?? 'a key';
  const [, file = '', line = ''] = /^Offending \S+ key in (.+):(\d+)\r?$/m.exec(stderr) ?? [];
  const place = pinned === undefined ? `${file}:${line}` : 'access.ssh.hostKey';
  const before = pinned ?? keyIn((await readFile(file, 'utf8').catch(() => '')).split('\n')[Number(line) - 1] ?? '');
  const known = fingerprintOf(before ?? '');
  const has = known === undefined ? place : `${place} has ${known}`;
  return `its host key is another than the one that is known: it shows ${shown}, and ${has}; ${COMPARE}`;
}

const COMPARE =
  'somebody may be in between, or it was installed anew: compare on its console, then look at access.ssh.hostKey or known_hosts';
