/** `sallyport wireguard …`: for a network namespace of its own, a pod's, not for a host. */
import { type Command, Option } from 'commander';
import type { WireguardHealthFlags } from './commands/wireguard-health.ts';
import type { WireguardMendFlags } from './commands/wireguard-mend.ts';
import type { WireguardRunFlags } from './commands/wireguard-run.ts';
import { type CommonFlags, collect, duration, type Running, time } from './program-words.ts';

export function wireguard(program: Command, running: Running): void {
  const group = program.command('wireguard').description('a WireGuard tunnel in a pod whose services go on answering');
  withHealth(
    group
      .command('run')
      .description('bring the tunnel of a wg-quick file up until SIGTERM; what came in by an interface goes back by it')
      .argument('<file.conf>', 'the link is named after it: wg0.conf makes wg0')
      .option('--health-listen <[tcp|http|https://]addr:port>', HEALTH_LISTEN, collect)
      .option('--masquerade', 'what peers send on by other links gets their address: for a server')
      .option('--allow-hooks', 'run PreUp, PostUp, PreDown and PostDown of the file, by a shell'),
  ).action((config: string, flags: Omit<WireguardRunFlags, 'config'> & CommonFlags) =>
    running(async (output) => (await import('./commands/wireguard-run.ts')).wireguardRun(output, { ...flags, config }))(
      flags,
    ),
  );
  withHealth(
    group
      .command('health')
      .description('answer how a tunnel fares that somebody else brought up')
      .requiredOption('--listen <[tcp|http|https://]addr:port>', HEALTH_LISTEN, collect)
      .option('--link <name>', 'the tunnel', 'wg0'),
  ).action(
    running(async (output, flags: WireguardHealthFlags & CommonFlags) =>
      (await import('./commands/wireguard-health.ts')).wireguardHealth(output, flags),
    ),
  );
  withLog(
    group
      .command('mend')
      .description(
        "beside wg-quick's tunnel: answers leave by the interface that the question came in by, until SIGTERM",
      )
      .argument('<link>', 'the tunnel, as wg0')
      .option('--once', 'put the rules there and end, for an init container')
      .option('--print', 'print PostUp and PreDown lines that do without Sallyport, and change nothing'),
  ).action((link: string, flags: Omit<WireguardMendFlags, 'link'> & CommonFlags) =>
    running(async (output) => (await import('./commands/wireguard-mend.ts')).wireguardMend(output, { ...flags, link }))(
      flags,
    ),
  );
}

const HEALTH_LISTEN =
  'answer there how the tunnel fares (repeatable): a port that is closed while it is not well, or HTTP with 200 and 503';

const withLog = (command: Command): Command =>
  command.addOption(new Option('--log <form>', 'lines for people, or JSON').choices(['text', 'json']).default('text'));

function withHealth(command: Command): Command {
  return withLog(command)
    .option('--require <policy>', 'what is healthy: listening, any-handshake, peer=KEY, fraction=N', 'listening')
    .addOption(time('--max-age <time>', 'a handshake counts for so long (at least 150s)', '180s', seconds))
    .addOption(time('--interval <time>', 'look so often', '2s'))
    .option('--self-probe', 'a real handshake with the own socket, each time')
    .option('--tls-cert <file>', 'for https://, PEM')
    .option('--tls-key <file>', 'for https://, PEM');
}

/** A time in whole seconds. */
const seconds = (text: string): number => Math.round(duration(text) / 1_000);
