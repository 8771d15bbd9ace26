import { localTransport } from '../../transport/index.ts';
import { DONE, UsageError } from '../exit.ts';
import type { Output } from '../output.ts';
import { openLog } from '../run/log.ts';
import { type AnswerFlags, answerHealth } from '../wireguard/answer.ts';
import { readHealthAddress } from '../wireguard/serve.ts';
import { untilTold } from '../wireguard/until-told.ts';

export interface WireguardHealthFlags extends AnswerFlags {
  readonly listen: readonly string[];
  readonly link: string;
}

/** Tells how a tunnel fares that somebody else brought up, until SIGTERM or Ctrl-C. It changes nothing. */
export async function wireguardHealth(output: Output, flags: WireguardHealthFlags): Promise<number> {
  const addresses = flags.listen.map(readHealthAddress);
  if (addresses.length === 0) throw new UsageError('--listen says where');
  const log = openLog(flags.log, output.say, Date.now);
  using told = untilTold();
  const { signal, stopped, stop } = told;
  try {
    using answers = await answerHealth(flags.link, addresses, flags, { transport: localTransport('pod'), log, signal });
    await answers.watch.look();
    await stopped;
  } finally {
    stop();
  }
  return DONE;
}
