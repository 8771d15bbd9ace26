/** What a way that takes its time costs: `plan` of hosts that are reached by ssh, over a real sshd. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Lab, RACK_EDGE, type RunningCommand, rack, rackAddress, startLab, startSshd } from '../src/lab/index.ts';
import { makeFolder } from './documents.ts';
import { inTurns, type Line, median } from './measure.ts';

/** Issue 6: round trips once the connection stands. */
const MOST_ROUNDS = 3;
/** "In the time of the slowest", with what two cores take for twenty clients and twenty logins. */
const MOST_OF_SLOWEST = 1.25;

const slowLine = fileURLToPath(new URL('slow-line.ts', import.meta.url));

/** By what ssh calls the host: milliseconds there and back, and where the line to it begins. */
const RTT = { near: 0, far: 50, slow: 500 } as const;
const BEGINS = { near: 4022, far: 4023, slow: 4024 } as const;
const WAYS = ['near', 'far', 'slow'] as const;
const HOSTS = 20;

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

export async function measureSsh(sallyport: string, rounds: number): Promise<readonly Line[]> {
  await using folder = await makeFolder();
  await using lab = await startLab(rack(['n1'], 'by the edge'));
  await using sshd = await startSshd(lab.host('edge'), [`ListenAddress ${RACK_EDGE}`, 'MaxStartups 100']);
  const { identityFile, hostKey } = sshd;
  await using _line = await startLine(lab, sshd.port);
  const host = (name: string, address: string): string =>
    document(
      'Host',
      name,
      `{ access: { ssh: ${JSON.stringify({ address, identityFile, hostKey })} }, interfaces: [{ name: eth0, zone: public }, { name: priv0, zone: private }] }`,
    );
  const forward = `{ at: { hosts: [edge] }, ports: [{ protocol: TCP, port: 80 }], to: [{ address: ${rackAddress(0)} }] }`;
  const one = (way: string): Promise<string> =>
    folder.write(`${way}.yaml`, [host('edge', way), document('PortForward', 'web', forward)].join('---\n'));
  const files = { near: await one('near'), far: await one('far'), slow: await one('slow') };
  const all = ['slow', ...Array.from({ length: HOSTS - 1 }, (_, index) => `far${index}`)];
  const many = await folder.write('many.yaml', all.map((way) => host(way, way)).join('---\n'));

  const client = lab.host('client');
  const run = (...argv: readonly string[]): Promise<unknown> =>
    client.run([process.execPath, sallyport, ...argv], { timeoutMs: 60_000 });
  const login = (way: string): Promise<unknown> =>
    client.run(['ssh', '-i', identityFile, '-o', 'StrictHostKeyChecking=no', '-o', 'LogLevel=ERROR', way, 'true']);
  await run('apply', '--yes', '-f', files.near);
  const taken = await inTurns(rounds, {
    'plan near': () => run('plan', '--detailed-exitcode', '-f', files.near),
    'plan far': () => run('plan', '--detailed-exitcode', '-f', files.far),
    'login near': () => login('near'),
    'login far': () => login('far'),
    slowest: () => run('plan', '-f', files.slow),
    all: () => run('plan', '--set', 'many', '-f', many),
  });
  const [near, far] = [median(taken('plan near')), median(taken('plan far'))];
  const trips = (far - near - (median(taken('login far')) - median(taken('login near')))) / RTT.far;
  const [slowest, together] = [median(taken('slowest')), median(taken('all'))];
  return [
    { what: 'ssh: plan of an unchanged host', value: near, unit: 'ms' },
    { what: `ssh: the same over ${RTT.far} ms RTT, a login and all`, value: far, unit: 'ms' },
    {
      what: `ssh: of that, round trips of ${RTT.far} ms once the connection stands`,
      value: trips,
      unit: 'x',
      goal: { text: `at most ${MOST_ROUNDS}`, met: trips <= MOST_ROUNDS },
    },
    {
      what: `ssh: plan of ${HOSTS} hosts, one of them over ${RTT.slow} ms RTT, the others over ${RTT.far}`,
      value: together,
      unit: 'ms',
      beside: { what: 'the slowest alone', value: slowest },
      goal: {
        text: `at most ${MOST_OF_SLOWEST} of the slowest alone`,
        met: together <= MOST_OF_SLOWEST * slowest,
      },
    },
  ];
}

/** Tells ssh the ways, and starts the line. */
async function startLine(lab: Lab, port: number): Promise<RunningCommand> {
  const ways = WAYS.map((name) => `Host ${name}*\n  HostName 127.0.0.1\n  Port ${BEGINS[name]}\n`);
  await lab.run(['mkdir', '-p', '-m', '700', '/root/.ssh']);
  await lab.run(['tee', '/root/.ssh/config'], { stdin: ways.join('') });
  const begins = WAYS.map((name) => `${BEGINS[name]}:${RTT[name] / 2}`);
  const line = await lab.host('client').spawn([process.execPath, slowLine, RACK_EDGE, String(port), ...begins]);
  line.stderr.pipe(process.stderr);
  await once(line.stdout, 'data');
  return line;
}
