/** `sallyport generate KIND`: manifests for others, to stdout. Nothing is looked at but the files that are named. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { GenerateNlbFlags } from './commands/generate-nlb.ts';
import { collect, duration, portNumber, type Running } from './program-words.ts';

export function generate(program: Command, running: Running): void {
  const kinds = program.command('generate').description('manifests for others, to stdout');
  kinds
    .command('nlb')
    .description('WireGuard in Kubernetes behind a load balancer that checks health over TCP alone')
    .argument('[file.conf]', 'a wg-quick file: read for its port, DNS and peers; its keys are not printed')
    .requiredOption(
      '--image <image>',
      'the container image (its recipe is image/Dockerfile), as registry/sallyport:0.1.0',
    )
    .option('--cloud <name>', 'whose balancer: aws, google, azure, digitalocean, ovh, metallb', 'aws')
    .option('--name <name>', 'of all objects', 'wireguard')
    .option('--namespace <name>', "left out: that of kubectl's context")
    .addOption(workload())
    .option('--replicas <count>', 'pods, all with the one key', count, 2)
    .option('--port <port>', "UDP port of the balancer (unless given, the tunnel's)", portNumber)
    .option('--listen-port <port>', 'UDP port of the tunnel in the pod, where no file says it (51820)', portNumber)
    .option('--health-port <port>', 'TCP port that the balancer asks', portNumber, 9000)
    .option(
      '--probe-port <port>',
      'HTTP port that the kubelet asks, where the health port speaks TCP alone',
      portNumber,
      9001,
    )
    .option('--health-address <address>', 'the address in the pod that both are at; :: in a cluster of IPv6', '0.0.0.0')
    .addOption(
      new Option('--health-protocol <protocol>', 'how the balancer asks').choices(['TCP', 'HTTP']).default('TCP'),
    )
    .addOption(new Option('--health-interval <time>', 'how often').argParser(duration).default(10_000, '10s'))
    .option('--health-threshold <count>', 'answers in a row that turn a target healthy or not', count, 3)
    .option('--require <policy>', 'what is healthy, as for wireguard run', 'listening')
    .addOption(
      new Option('--targets <kind>', 'AWS: pods by their own address, or nodes')
        .choices(['ip', 'instance'])
        .default('ip'),
    )
    .option('--internal', 'a balancer without a public address')
    .option('--address-pool <name>', 'MetalLB: the address pool')
    .option('--source-range <prefix>', 'clients come from there alone (repeatable)', collect)
    .option('--prober-range <prefix>', 'health is asked for from there alone (repeatable)', collect)
    .option('--secret <name[/key]>', "the Secret with the tunnel's file (unless given, NAME-conf and the file's name)")
    .option('--masquerade', 'as for wireguard run: what peers send on gets the address of the pod')
    .option(
      '--tun <source>',
      'for wireguard-go: host (the /dev/net/tun of the node), or the resource of a device plugin',
      'none',
    )
    .option(
      '--unsafe-sysctls',
      'ask for src_valid_mark, and with --masquerade forwarding; kubelets refuse them unless told',
    )
    .addOption(new Option('-o, --output <format>', 'the form of the result').choices(['yaml', 'json']).default('yaml'))
    .addOption(new Option('--json', 'the same as -o json').implies({ output: 'json' }))
    .addHelpText('after', EXAMPLES)
    .action((conf: string | undefined, flags: GenerateNlbFlags) =>
      // Problems of the file are lines on stderr, unless JSON was asked for.
      running(async (output) => (await import('./commands/generate-nlb.ts')).generateNlb(output, conf, flags))({
        output: flags.output === 'json' ? 'json' : 'text',
      }),
    );
}

const EXAMPLES = `
Examples:
  sallyport generate nlb wg0.conf --image registry.example.com/sallyport:0.1.0 --namespace vpn | kubectl apply -f -
  sallyport generate nlb wg0.conf --image … --cloud azure --port 443 --source-range 203.0.113.0/24
  sallyport generate nlb wg0.conf --image … --cloud metallb --address-pool public --masquerade --json
What must be there before (the Secret, the namespace's label) is said on stderr, and at the head of the YAML.`;

const workload = (): Option =>
  new Option('--workload <kind>', 'what keeps the pods').choices(['Deployment', 'StatefulSet']).default('Deployment');

function count(text: string): number {
  if (/^[1-9][0-9]{0,2}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a whole number from 1 to 999.');
}
