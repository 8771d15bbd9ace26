/** Sends the packets of `verify --probe` from this machine, and tells what came of each. */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { type Address, parseAddress, printAddress } from '../net/index.ts';
import { type Network, printEnd } from '../simulate/index.ts';
import { type Prediction, type Probe, predict } from '../verify/index.ts';

/** `silent`: nothing came back in time. */
export type Seen = 'answered' | 'refused' | 'unreachable' | 'silent';

/** A probe as `verify -o json` gives it. */
export interface ProbeReport {
  readonly resource: string;
  /** This machine's address on the way there; null where it has no way. */
  readonly from: string | null;
  /** `198.51.100.10:443/tcp`. */
  readonly to: string;
  readonly predicted: Prediction;
  readonly seen: Seen;
  readonly agrees: boolean | 'undecided';
}

const PATIENCE_MS = 3_000;
const AT_ONCE = 32;

/** Asks all, a few at a time. Aborted: throws. */
export async function sendProbes(
  network: Network,
  probes: readonly Probe[],
  signal: AbortSignal,
): Promise<readonly ProbeReport[]> {
  const reports: ProbeReport[] = [];
  const waiting = [...probes.entries()];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      signal.throwIfAborted();
      const [index, probe] = next;
      reports[index] = await sendProbe(network, probe, signal);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return reports;
}

async function sendProbe(network: Network, probe: Probe, signal: AbortSignal): Promise<ProbeReport> {
  const { outer, port, protocol, resource } = probe;
  const client = await sourceTowards(outer);
  const seen = client === undefined ? 'unreachable' : await (protocol === 'tcp' ? askTcp : askUdp)(outer, port, signal);
  const predicted = client === undefined ? 'undecided' : predict(network, probe, client);
  return {
    ...{
      resource,
      from: client === undefined ? null : printAddress(client),
      to: `${printEnd(outer, port)}/${protocol}`,
    },
    ...{ predicted, seen, agrees: agrees(predicted, seen, protocol) },
  };
}

/** What is lost may be told by an ICMP error; a UDP server need not answer what it does not understand. */
function agrees(predicted: Prediction, seen: Seen, protocol: Probe['protocol']): boolean | 'undecided' {
  if (predicted === 'undecided') return 'undecided';
  if (predicted === 'answered')
    return seen === 'answered' ? true : protocol === 'udp' && seen === 'silent' ? 'undecided' : false;
  if (predicted === 'refused')
    return protocol === 'udp' && seen === 'silent' ? 'undecided' : seen === 'refused' || seen === 'unreachable';
  return seen !== 'answered';
}

/** The address this machine asks from, by its own routes; undefined where it has no way there. */
function sourceTowards(to: Address): Promise<Address | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(to.family === 4 ? 'udp4' : 'udp6');
    const finish = (found: Address | undefined): void => {
      socket.close();
      resolve(found);
    };
    socket.once('error', () => finish(undefined));
    socket.connect(9, printAddress(to), () => finish(parseAddress(socket.address().address)));
  });
}

/** Connects, and closes at once. */
export function askTcp(to: Address, port: number, signal: AbortSignal): Promise<Seen> {
  return new Promise((resolve) => {
    const socket = connect({ host: printAddress(to), port, signal });
    const finish = (seen: Seen): void => {
      socket.destroy();
      resolve(seen);
    };
    socket.setTimeout(PATIENCE_MS, () => finish('silent'));
    socket.once('connect', () => finish('answered'));
    socket.once('error', (error: NodeJS.ErrnoException) => finish(seenBy(error)));
  });
}

function askUdp(to: Address, port: number, signal: AbortSignal): Promise<Seen> {
  return new Promise((resolve) => {
    const socket = createSocket({ type: to.family === 4 ? 'udp4' : 'udp6', signal });
    const finish = (seen: Seen): void => {
      clearTimeout(timer);
      socket.close();
      resolve(seen);
    };
    const timer = setTimeout(() => finish('silent'), UDP_PATIENCE_MS);
    socket.once('message', () => finish('answered'));
    socket.once('error', (error: NodeJS.ErrnoException) => finish(seenBy(error)));
    socket.connect(port, printAddress(to), () => socket.send(Buffer.of(0)));
  });
}

const UDP_PATIENCE_MS = 1_000;

const seenBy = ({ code }: NodeJS.ErrnoException): Seen =>
  code === 'ECONNREFUSED' ? 'refused' : code === 'ETIMEDOUT' || code === 'ABORT_ERR' ? 'silent' : 'unreachable';
