/** Looks at a tunnel again and again, and tells how it fares. */
import { createSocket } from 'node:dgram';
import { LINKS_COMMAND, readLinks } from '../../routing/index.ts';
import type { Transport } from '../../transport/index.ts';
import {
  DUMP_COMMAND,
  type HealthPolicy,
  LEAST_MAX_AGE_SECONDS,
  parsePublicKey,
  readDump,
  type TunnelHealth,
  type TunnelSight,
  tunnelHealth,
  type WireGuardDevice,
} from '../../wireguard/index.ts';
import { UsageError } from '../exit.ts';
import { initiate, throwAwayKey } from './handshake.ts';

export interface HealthFlags {
  readonly require: string;
  /** Seconds. */
  readonly maxAge: number;
  /** Milliseconds. */
  readonly interval: number;
  readonly selfProbe?: boolean;
  /** The port that it should listen at, where that is known. */
  readonly listenPort?: () => number | undefined;
}

/** `listening`, `any-handshake`, `peer=KEY` or `fraction=0.5`. Throws a UsageError for another. */
export function readPolicy(text: string): HealthPolicy {
  if (text === 'listening') return { kind: 'listening' };
  if (text === 'any-handshake') return { kind: 'any' };
  const [name, value = ''] = [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)];
  const publicKey = name === 'peer' ? parsePublicKey(value) : undefined;
  if (publicKey !== undefined) return { kind: 'peer', publicKey };
  const least = name === 'fraction' && /^(?:0?\.\d+|1(?:\.0+)?)$/.test(value) ? Number(value) : 0;
  if (least > 0) return { kind: 'fraction', least };
  throw new UsageError(`--require ${text}: listening, any-handshake, peer=KEY, or fraction=0.5 (above 0, up to 1)`);
}

/** Throws a UsageError below the floor. */
export function checkMaxAge(seconds: number): number {
  if (seconds >= LEAST_MAX_AGE_SECONDS) return seconds;
  throw new UsageError(
    `--max-age ${seconds}s: at least ${LEAST_MAX_AGE_SECONDS}s, or a peer that is alive counts as gone between two handshakes`,
  );
}

export interface Watched {
  readonly health: TunnelHealth;
  readonly device: WireGuardDevice | undefined;
  /** When it was last looked at, by performance.now(). */
  readonly at: number;
  /** It has been up and listening once. */
  readonly hasStarted: boolean;
}

export interface Watch {
  now(): Watched;
  /** At once, beside the regular ones. */
  look(): Promise<void>;
}

const NEVER: TunnelHealth = {
  ...{ healthy: false, cause: 'linkMissing', peers: 0, fresh: 0 },
  reason: 'not looked at yet',
};

/** Looks from the first `look` on until the signal comes. `onChange` is told when the answer or its cause is another than before. */
export function watchTunnel(
  link: string,
  transport: Transport,
  flags: HealthFlags,
  signal: AbortSignal,
  onChange: (health: TunnelHealth) => Promise<void>,
): Watch {
  const rule = { policy: readPolicy(flags.require), maxAge: checkMaxAge(flags.maxAge) };
  let watched: Watched = { health: NEVER, device: undefined, at: performance.now(), hasStarted: false };
  let underWay: Promise<void> | undefined;
  const once = async (): Promise<void> => {
    const sight = await sightOf(link, transport, flags.selfProbe === true, signal);
    const health = tunnelHealth(
      link,
      sight,
      { ...rule, listenPort: flags.listenPort?.() },
      Math.floor(Date.now() / 1_000),
    );
    const before = watched.health;
    const { listenPort } = sight.device ?? {};
    const hasStarted = watched.hasStarted || (sight.isUp && listenPort !== undefined);
    watched = { health, device: sight.device, at: performance.now(), hasStarted };
    if (before.cause !== health.cause) await onChange(health);
  };
  let timer: NodeJS.Timeout | undefined;
  const look = (): Promise<void> => {
    if (!signal.aborted) timer ??= setInterval(() => void look(), flags.interval);
    underWay ??= once()
      // Who looks next tells what is wrong then; the age of the last look is seen at /livez.
      .catch(() => {})
      .finally(() => {
        underWay = undefined;
      });
    return underWay;
  };
  signal.addEventListener('abort', () => clearInterval(timer));
  return { now: () => watched, look };
}

async function sightOf(name: string, transport: Transport, probes: boolean, signal: AbortSignal): Promise<TunnelSight> {
  const commands = [DUMP_COMMAND, [...LINKS_COMMAND, 'dev', name]].map((argv) => ({ argv, timeoutMs: 5_000 }));
  const [dump, links] = await transport.runAll(commands, signal);
  const device = dump?.status === 0 ? readDump(dump.stdout).find(({ link }) => link === name) : undefined;
  const found = links?.status === 0 ? readLinks(links.stdout).find((each) => each.name === name) : undefined;
  const [isThere, isUp] = [found !== undefined, found?.up === true];
  const sight = { device, isThere, isUp };
  if (!probes || device?.listenPort === undefined || !isUp) return sight;
  const selfProbe = (await probeItself(device, transport, signal)) ? 'answered' : 'silent';
  return { ...sight, selfProbe };
}

/** A socket of this machine answers at once; a busy one is given this long. Milliseconds. */
const ANSWER_MS = 1_000;

/** A real handshake with the tunnel's own socket, as a peer that is added for it and thrown away. */
async function probeItself(device: WireGuardDevice, transport: Transport, signal: AbortSignal): Promise<boolean> {
  const { publicKey, listenPort, link } = device;
  if (typeof publicKey !== 'string' || listenPort === undefined) return false;
  const own = throwAwayKey();
  const set = (...words: readonly string[]) =>
    transport.run({ argv: ['wg', 'set', link, 'peer', own.publicKey, ...words] }, signal);
  if ((await set('allowed-ips', '')).status !== 0) return false;
  const socket = createSocket('udp4');
  try {
    const initiation = initiate(own, publicKey);
    return await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), ANSWER_MS);
      const end = (answered: boolean): void => {
        clearTimeout(timer);
        resolve(answered);
      };
      socket.on('message', (answer) => {
        if (initiation.isAnsweredBy(answer)) end(true);
      });
      // Refused: nobody listens there.
      socket.on('error', () => end(false));
      socket.connect(listenPort, '127.0.0.1', () => socket.send(initiation.message));
    });
  } finally {
    socket.close();
    await set('remove').catch(() => {});
  }
}
