/** Whether packets come through tunnels that shake no hands: each end sends a few, and the other's link counts what arrives. */
import type { ManagedHost } from '../apply/index.ts';
import type { TunnelShare } from '../host/index.ts';
import { printAddress } from '../net/index.ts';
import { TransportError } from '../transport/index.ts';
import type { Survey } from './survey.ts';

interface End {
  readonly host: ManagedHost;
  readonly share: TunnelShare;
}

/**
 * The ends that hear nothing of what the other one sends, as `HOST TUNNEL`. An echo request need not be answered, nor let in: a link counts
 * it before any rule. Where an end cannot send, or nobody could look at it, nothing is known.
 */
export async function deafEnds(survey: Survey, setName: string, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const found = pairsOf(survey, setName).map(async ([first, second]): Promise<readonly string[]> => {
    const count = () => Promise.all([counted(first, signal), counted(second, signal)]);
    const before = await count();
    await Promise.all([send(first, signal), send(second, signal)]);
    const after = await count();
    return [first, second].flatMap(({ host, share }, index) => {
      const [mine, mineBefore] = [after[index], before[index]];
      const [theirs, theirsBefore] = [after[1 - index], before[1 - index]];
      // Whose neighbour does not answer sends nothing but a question now and then: where none went out, nothing is known.
      const isSent = (theirs?.sent ?? 0) > (theirsBefore?.sent ?? 0) && theirsBefore !== undefined;
      return isSent && mine !== undefined && mine.received === mineBefore?.received
        ? [`${host.name} ${share.name}`]
        : [];
    });
  });
  return new Set((await Promise.all(found)).flat());
}

/** Both ends of each tunnel in question, where both hosts answered. */
function pairsOf({ managed, facts, unreachable }: Survey, setName: string): readonly (readonly [End, End])[] {
  const ends = managed
    .filter(({ name }) => !unreachable.has(name))
    .flatMap((host) =>
      (facts.get(host.name)?.record?.sets.get(setName)?.tunnels ?? [])
        .filter(({ type }) => type === 'VXLAN' || type === 'IPIP' || type === 'GRE')
        .map((share) => ({ host, share })),
    );
  return ends.flatMap((first, index) => {
    const second = ends.slice(index + 1).find(({ share }) => share.name === first.share.name);
    return second === undefined ? [] : [[first, second] as const];
  });
}

/** Echo requests to the other end, of each family, for longer than the second between two questions for a neighbour (arp(7), retrans_time_ms). */
async function send({ host, share }: End, signal: AbortSignal): Promise<void> {
  const pings = share.peer.addresses.map(async (address) => {
    const flags = ['-n', '-q', '-c', '6', '-i', '0.2', '-W', '0.3', '-I', share.link];
    try {
      await host.transport.run({ argv: ['ping', ...flags, printAddress(address)] }, signal);
    } catch (error) {
      if (!(error instanceof TransportError)) throw error; // no ping there: nothing is sent
    }
  });
  await Promise.all(pings);
}

interface Counted {
  readonly received: number;
  readonly sent: number;
}

/** The packets of the end's link; undefined where there is no such link. */
async function counted({ host, share }: End, signal: AbortSignal): Promise<Counted | undefined> {
  const argv = ['ip', '-s', '-j', 'link', 'show', 'dev', share.link];
  const { stdout, status } = await host.transport.run({ argv }, signal);
  const found = status === 0 ? /"rx":\{[^}]*"packets":(\d+).*"tx":\{[^}]*"packets":(\d+)/.exec(stdout) : null;
  return found === null ? undefined : { received: Number(found[1]), sent: Number(found[2]) };
}
