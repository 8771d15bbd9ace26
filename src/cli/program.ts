/** The commands, their flags and help. Each command's own file is loaded only when that command runs. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { runProgram } from './command-line.ts';
import type { AdoptFlags } from './commands/host-adopt.ts';
import type { PrepareFlags } from './commands/host-prepare.ts';
import type { RotateFlags } from './commands/tunnel-rotate.ts';
import type { DrawingFormat } from './drawing/index.ts';
import { REFUSED } from './exit.ts';
import { guardStreams } from './output.ts';
import { generate } from './program-generate.ts';
import { wireguard } from './program-wireguard.ts';
import { type CommonFlags, collect, portNumber, type Running, time } from './program-words.ts';

/** Commands of design.md that later work brings: not in help, named when typed. */
const later: readonly (readonly string[])[] = [
  ...[['controller'], ['agent'], ['ui']],
  ...['metallb', 'cilium', 'istio', 'gateway-api', 'cert-manager'].map((kind) => ['generate', kind]),
];

const WINDOW = 'each host takes the change back by itself unless it is confirmed within this time';

const ADOPT = 'take over rules that somebody made by hand, where the documents stand for them packet by packet';

/** Runs one command line (without node and the script) and gives its exit status. Never throws. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  const asked = later.find((words) => words.every((word, index) => argv[index] === word));
  if (asked === undefined) return await runProgram(argv, addCommands);
  guardStreams();
  process.stderr.write(`not yet supported: ${asked.join(' ')}\n`);
  return REFUSED;
}

function addCommands(program: Command, running: Running): void {
  init(program, running);
  withFiles(program.command('validate').description('check the documents: schema, references, conflicts')).action(
    running(async (output, flags) => (await import('./commands/validate.ts')).validate(output, flags)),
  );
  withProof(
    withFiles(program.command('plan').description('show what apply would change'))
      .option('--offline', 'from declared facts alone: no host is looked at')
      .option('--detailed-exitcode', '0 nothing to do, 1 any error, 2 changes pending')
      .option('--adopt', ADOPT)
      .option('--full', 'show long lists of elements whole'),
  ).action(running(async (output, flags) => (await import('./commands/plan.ts')).plan(output, flags)));
  withProof(
    withFiles(program.command('apply').description('plan, then carry it out'))
      .option('--yes', 'ask nothing')
      .option('--adopt', ADOPT)
      .addOption(time('--confirm-timeout <time>', WINDOW, '30s'))
      .option('--full', 'show long lists of elements whole'),
  ).action(running(async (output, flags) => (await import('./commands/apply.ts')).apply(output, flags)));
  withFiles(
    program.command('status').description('whether the hosts hold what the documents say, and the tunnels are up'),
  )
    .option('--watch', 'again and again, until Ctrl-C')
    .addOption(time('--wait <time>', 'wait up to this long for everything to be ready', '0s'))
    .action(running(async (output, flags) => (await import('./commands/status.ts')).status(output, flags)));
  withFiles(program.command('render').description('the exact nft, ip, wg and sysctl text for a host'))
    .requiredOption('--host <name>', 'the Host to render')
    .option('--offline', 'from declared facts alone: no host is looked at')
    .addOption(
      new Option(
        '--boot <init>',
        'what brings it all back after a boot where there is no systemd: /etc/init.d/sallyport',
      ).choices(['OpenRC', 'procd']),
    )
    .action(running(async (output, flags) => (await import('./commands/render.ts')).render(output, flags)));
  withFiles(program.command('verify').description('prove every promise of the documents, packet by packet'))
    .option('--live', 'on what stands on the hosts now, not on what the documents would make of them')
    .option('--probe', 'ask the real ports from this machine too, and compare (with --live)')
    .addOption(
      new Option('--bundle <[name=]file>', `${BUNDLE} (as --live)`).argParser(collect).conflicts(['probe', 'offline']),
    )
    .option('--require-proof', 'undecided is a failure too')
    .addOption(new Option('--offline', 'from declared facts alone: no host is looked at').conflicts(['live', 'probe']))
    .action(running(async (output, flags) => (await import('./commands/verify.ts')).verify(output, flags)));
  withCommon(
    program
      .command('trace')
      .description('the way of a packet and of its answer, and what decides at each hop; -o svg or html draws it')
      .option('-f, --file <path>', 'a file, a folder, or - for stdin (repeatable)', collect)
      .option('--set <name>', 'the set these documents are the whole of', setName, 'default')
      .option('--bundle <[name=]file>', BUNDLE, collect),
    ['svg', 'html'],
  )
    .requiredOption(
      '--from <addr[@host]>',
      'who asks; without a host from the Internet, or the host that bears the address',
    )
    .requiredOption(
      '--to <addr:port/proto>',
      'what is asked: ADDR:PORT/tcp, ADDR:PORT/udp or ADDR/icmp; IPv6 as [2001:db8::10]:80/tcp',
    )
    .option('--live', 'what stands on the hosts now, not what the documents would make of them')
    .option('--sport <port>', 'the source port (an echo: its id)')
    .option('--iif <link>', 'the link by which it comes in')
    .option('--mark <mark>', 'the packet mark it starts with')
    .option('--size <bytes>', 'the whole IP packet')
    .option('--df', 'no router may fragment it')
    .action(running(async (output, flags) => (await import('./commands/trace.ts')).trace(output, flags)));
  doctor(program, running);
  withFiles(program.command('destroy').description('take back what this set put on the hosts, and nothing else'))
    .option('--yes', 'ask nothing')
    .addOption(time('--confirm-timeout <time>', WINDOW, '30s'))
    .option('--all', 'every set, not this one alone')
    .option('--host <name>', 'on this host alone (repeatable)', collect)
    .option('--full', 'show long lists of elements whole')
    .action(running(async (output, flags) => (await import('./commands/destroy.ts')).destroy(output, flags)));
  run(program, running);
  wireguard(program, running);
  generate(program, running);
  host(program, running);
  tunnel(program, running);
  lab(program, running);
}

/** What lets a plan pass, or not, whose promises are not all proven. */
const withProof = (command: Command): Command =>
  command
    .option('--forget <host>', 'go on without a host that left the documents (repeatable)', collect)
    .option('--require-proof', 'refuse what the simulation leaves undecided too')
    .option(
      '--accept <promise>',
      'go on though this promise, or this resource (PortForward/web), is broken (repeatable)',
      collect,
    );

function run(program: Command, running: Running): void {
  withProof(
    program
      .command('run')
      .description('keep the hosts as the documents say, in the foreground: drift, changed files and names')
      .requiredOption('-f, --file <path>', 'a file or a folder, read again when it changes (repeatable)', collect)
      .option('--set <name>', 'the set these documents are the whole of', setName, 'default')
      .addOption(time('--every <time>', 'look at each host at least so often', '60s'))
      .option('--listen <addr:port>', 'answer /metrics (Prometheus), /healthz and /readyz there')
      .addOption(new Option('--log <form>', 'lines for people, or JSON').choices(['text', 'json']).default('text')),
  ).action(running(async (output, flags) => (await import('./commands/run.ts')).run(output, flags)));
}

function doctor(program: Command, running: Running): void {
  withCommon(
    program
      .command('doctor')
      .description(
        'look for known faults on this machine, or on other hosts: what is wrong, the line that shows it, and the fix',
      )
      .option('-f, --file <path>', 'look at the Hosts of a file, a folder, or - for stdin (repeatable)', collect)
      .option('--netns <name>', 'look at this network namespace')
      .option('--bundle <[name=]file>', BUNDLE, collect)
      .option('--collect', 'print a shell script that writes the bundle of a host on which nothing can be installed')
      .option('--host <ssh://…>', 'look at another machine, by ssh')
      .option(
        '--fix <code>',
        'carry the fix of one finding out; it undoes itself unless the finding is gone and it is confirmed',
      )
      .option('--yes', 'with --fix: ask nothing')
      .addOption(
        time('--confirm-timeout <time>', 'with --fix: undo unless all is done and confirmed within this time', '30s'),
      ),
  ).action(running(async (output, flags) => (await import('./commands/doctor.ts')).doctor(output, flags)));
}

function init(program: Command, running: Running): void {
  const story = program.command('init').description('look at the hosts and write a commented first file');
  const slimEdge = story
    .command('slim-edge')
    .description('a small public edge that hands traffic to a strong node')
    .option('--edge <access>', 'the edge: local, netns:NAME, ssh://USER@HOST', 'netns:edge')
    .option('--node <access>', 'the node: local, netns:NAME, ssh://USER@HOST', 'netns:node')
    .option('-o, --out <file>', 'write it there instead of stdout')
    .option('--force', 'overwrite the file');
  slimEdge.action(running(async (output, flags) => (await import('./commands/init.ts')).initSlimEdge(output, flags)));
}

function host(program: Command, running: Running): void {
  const hosts = program.command('host').description('a machine before anything is programmed there');
  const about = (command: Command, yes: string): Command =>
    withCommon(
      command
        .argument('<host>', 'a Host of the documents, or ssh://USER@HOST:PORT')
        .option('-f, --file <path>', 'a file, a folder, or - for stdin (repeatable)', collect)
        .option('--yes', yes),
    );
  about(
    hosts
      .command('adopt')
      .description("learn a host's key, have it compared, write it down, and look at what is there"),
    'ask nothing: with --fingerprint, or for a key that known_hosts have',
  )
    .option('--fingerprint <sha256>', 'the key that it must have, as ssh-keygen -lf shows it: SHA256:…')
    .option('--through <url>', 'for access.agent, once: the login of root or of a user of sudo, ssh://USER@HOST:PORT')
    .action((given: string, flags: CommonFlags & AdoptFlags) =>
      running(async (output, each: AdoptFlags) =>
        (await import('./commands/host-adopt.ts')).adoptHost(output, given, each),
      )(flags),
    );
  about(hosts.command('prepare').description('install what a host lacks, or show how'), 'ask nothing').action(
    (given: string, flags: CommonFlags & PrepareFlags) =>
      running(async (output, each: PrepareFlags) =>
        (await import('./commands/host-prepare.ts')).prepareHost(output, given, each),
      )(flags),
  );
}

function tunnel(program: Command, running: Running): void {
  const tunnels = program.command('tunnel').description('what is done to a tunnel that stands');
  withFiles(
    tunnels
      .command('rotate')
      .description('new WireGuard keys at both ends; what goes through it meanwhile goes by a second link')
      .argument('[name]', 'a Tunnel of the documents'),
  )
    .option('--all', 'every WireGuard tunnel of the documents')
    .option('--dry-run', 'show what would be done')
    .option('--yes', 'ask nothing')
    .addOption(time('--confirm-timeout <time>', WINDOW, '30s'))
    .option('--port <port>', 'the UDP port of the second link, where it is dialled; else a free one', portNumber)
    .option('--in-place', 'no second link: what is sent while the keys are exchanged may be lost')
    .option(
      '--by-hand <host>',
      'somebody else looks after this end: what must be told there is said (repeatable)',
      collect,
    )
    .action((name: string | undefined, flags: CommonFlags & RotateFlags) =>
      running(async (output, each: RotateFlags) =>
        (await import('./commands/tunnel-rotate.ts')).rotateTunnel(output, name, each),
      )(flags),
    );
}

const STORIES = 'slim-edge or wireguard-behind-lb';

function lab(program: Command, running: Running): void {
  const labs = program
    .enablePositionalOptions()
    .command('lab')
    .enablePositionalOptions()
    .description("a story on this machine's kernel, in namespaces of its own");
  const story = (command: Command): Command => withCommon(command.argument('<story>', STORIES));
  const act = (name: 'demo' | 'up' | 'down', description: string): void => {
    story(labs.command(name).description(description)).action((chosen: string, flags: CommonFlags) =>
      running(async (output) => (await import('./commands/lab.ts')).runLab(output, name, chosen))(flags),
    );
  };
  act('demo', 'from refused to served and back, told as it happens');
  act('up', 'start its network and leave it standing');
  act('down', 'end it');
  withCommon(
    labs
      .command('fault')
      .description(
        'build a fault of the field, show what it looks like, what doctor says, and its fix; without a name: which there are',
      )
      .argument('[code]', 'as doctor calls it'),
  ).action((code: string | undefined, flags: CommonFlags) =>
    running(async (output) => (await import('./commands/lab.ts')).labFault(output, code))(flags),
  );
  labs
    .command('exec')
    .description('run a command in a standing lab, beside its hosts: ip netns exec edge ... enters one')
    .argument('<story>', STORIES)
    .argument('<command...>', 'the command and its arguments')
    .passThroughOptions()
    .action((story: string, command: string[]) =>
      running(async () => (await import('./commands/lab.ts')).execInLab(story, command))({}),
    );
}

const BUNDLE = 'a host as the script of "doctor --collect" found it (repeatable)';

/** The flags of every command that reads documents. */
const withFiles = (command: Command, drawings: readonly DrawingFormat[] = []): Command =>
  withCommon(
    command
      .requiredOption('-f, --file <path>', 'a file, a folder, or - for stdin (repeatable)', collect)
      .option('--set <name>', 'the set these documents are the whole of', setName, 'default'),
    drawings,
  );

const withCommon = (command: Command, drawings: readonly DrawingFormat[] = []): Command =>
  command
    .addOption(
      new Option('-o, --output <format>', 'the form of the result')
        .choices(['text', 'json', 'yaml', ...drawings])
        .default('text'),
    )
    .option('--no-color', 'no colours (NO_COLOR does the same)');

/** A set's name stands in records and file names on hosts. */
function setName(text: string): string {
  if (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) return text;
  throw new InvalidArgumentError('a set is named by lower-case letters, digits and inner hyphens, 63 at most.');
}
