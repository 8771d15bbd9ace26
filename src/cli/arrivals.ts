/** Whether packets come through tunnels that shake no hands: each end sends a few, and the other's link counts what arrives. */
import type { ManagedHost } from '../apply/index.ts';
import type { TunnelShare } from '../host/index.ts';
import { printAddress } from '../net/index.ts';
import { type Transport, TransportError } from '../transport/index.ts';
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
    const before = await Promise.all([heard(first, signal), heard(second, signal)]);
    const sent = await Promise.all([send(second, signal), send(first, signal)]);
    const after = await Promise.all([heard(first, signal), heard(second, signal)]);
    return [first, second].flatMap(({ host, share }, index) =>
      sent[index] === true && before[index] !== undefined && before[index] === after[index]
        ? [`${host.name} ${share.name}`]
        : [],
    );
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

/** Two echo requests to the other end, of each family; true where they were sent. In all 0.7 s where nobody answers. */
async function send({ host, share }: End, signal: AbortSignal): Promise<boolean> {
  const pings = share.peer.addresses.map(async (address) => {
    const flags = ['-n', '-q', '-c', '2', '-i', '0.2', '-W', '0.5', '-I', share.link];
    try {
      const { status } = await host.transport.run({ argv: ['ping', ...flags, printAddress(address)] }, signal);
      return status === 0 || status === 1; // 1: sent and not answered (ping(8))
    } catch (error) {
      if (error instanceof TransportError) return false; // no ping there
      throw error;
    }
  });
  return (await Promise.all(pings)).some((each) => each);
}

/** The packets that the end's link has received; undefined where there is no such link. */
const heard = ({ host, share }: End, signal: AbortSignal): Promise<number | undefined> =>
  receivedPackets(host.transport, share.link, signal);

async function receivedPackets(transport: Transport, link: string, signal: AbortSignal): Promise<number | undefined> {
  const { stdout, status } = await transport.run({ argv: ['ip', '-s', '-j', 'link', 'show', 'dev', link] }, signal);
  if (status !== 0) return undefined;
  const packets = /"stats64":\{"rx":\{[^}]*"packets":(\d+)/.exec(stdout)?.[1];
  return packets === undefined ? undefined : Number(packets);
}
