import { expect, test } from 'vitest';
import type { CompiledHost } from '../compile/index.ts';
import { EMPTY_STATE, type HostFacts } from '../host/index.ts';
import { type Lab, type LabHost, slimEdge, startLab } from '../lab/index.ts';
import { printTable, readRuleset } from '../nftables/index.ts';
import {
  ADDRESSES_COMMAND,
  addAddressArguments,
  addLinkArguments,
  addRouteArguments,
  addRuleArguments,
  LINKS_COMMAND,
  printBatches,
  readAddresses,
  readLinks,
  readRoutes,
  readRules,
  readSysctls,
  routesCommand,
  rulesCommand,
  sysctlCommand,
} from '../routing/index.ts';
import { buildNetwork, type Flow, type Network, simulate } from '../simulate/index.ts';
import { futureNetwork } from './future.ts';
import { verifyPlan } from './index.ts';
import { mutantsOf } from './testdata/mutants.ts';
import { planned, unkept } from './testdata/plan.ts';
import { scenes } from './testdata/scenes.ts';
import { at } from './testdata/sketch.ts';

const SYSCTLS = ['forwarding', 'rp_filter', 'src_valid_mark', 'accept_local', 'disable_ipv6'].flatMap((name) => [
  `net/ipv4/conf/*/${name}`,
  `net/ipv6/conf/*/${name}`,
]);

/** Looks at a host of a lab as the driver would. */
async function observe(host: LabHost): Promise<HostFacts> {
  const read = async (argv: readonly string[]): Promise<string> =>
    (await host.run(argv, { allowFailure: true })).stdout;
  const both = [4, 6] as const;
  const routes = await Promise.all(both.map(async (family) => readRoutes(await read(routesCommand(family)), family)));
  const rules = await Promise.all(both.map(async (family) => readRules(await read(rulesCommand(family)), family)));
  return {
    source: 'observed',
    state: {
      ...EMPTY_STATE,
      links: readLinks(await read(LINKS_COMMAND)),
      addresses: readAddresses(await read(ADDRESSES_COMMAND)),
      routes: routes.flat(),
      rules: rules.flat(),
      sysctls: readSysctls(await read(sysctlCommand(SYSCTLS))),
      tables: readRuleset(await read(['nft', '-j', 'list', 'ruleset'])),
    },
    keys: new Map(),
    wireguard: 'kernel',
    vxlan: 'kernel',
  };
}

/** Puts a compiled state onto a host. */
async function make(host: LabHost, { state }: CompiledHost): Promise<void> {
  await host.run(['nft', '-f', '-'], { stdin: state.tables.map(printTable).join('') });
  const ip = [...state.links.map(addLinkArguments), ...state.addresses.map(addAddressArguments)];
  for (const { argv, stdin } of printBatches(ip)) await host.run(argv, { stdin });
  const write = [...state.sysctls].map(([path, value]) => `echo ${value} >/proc/sys/${path}`);
  await host.run(['sh', '-e'], { stdin: write.join('\n') });
  const ways = [...state.routes.map(addRouteArguments), ...state.rules.map(addRuleArguments)];
  for (const { argv, stdin } of printBatches(ways)) await host.run(argv, { stdin });
}

interface Probe {
  readonly from: 'client' | 'neighbour';
  readonly source: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
}

const probes: readonly Probe[] = [
  { from: 'client', source: '192.0.2.10', to: '198.51.100.10', port: 80, protocol: 'tcp' },
  { from: 'client', source: '192.0.2.10', to: '198.51.100.10', port: 30_100, protocol: 'udp' },
  { from: 'client', source: '2001:db8:c::10', to: '2001:db8:e::10', port: 80, protocol: 'tcp' },
  { from: 'client', source: '2001:db8:c::10', to: '2001:db8:e::10', port: 30_100, protocol: 'udp' },
  { from: 'client', source: '192.0.2.10', to: '198.51.100.10', port: 81, protocol: 'tcp' },
  { from: 'neighbour', source: '198.51.100.99', to: '192.168.1.20', port: 8080, protocol: 'tcp' },
];

/** Undefined where the packet leaves for a machine that the model does not know. */
function predict(network: Network, { source, to, port, protocol }: Probe): boolean | undefined {
  const from = { kind: 'beyond', host: 'edge', link: 'eth0', address: at(source) } as const;
  const flow: Flow = { from, to: at(to), port, protocol };
  const { works, request, reply } = simulate(network, flow);
  // The model lets a socket listen wherever a packet is delivered; on the edge itself none does.
  if (request.host === 'edge' && request.verdict === 'delivered') return false;
  if (works === 'undecided') return undefined;
  // A datagram and its answer are all that is sent.
  return protocol === 'udp' ? reply?.verdict === 'delivered' : works;
}

/** What was foretold, where it was, beside what came. */
const compared = (predicted: readonly (boolean | undefined)[], real: readonly boolean[]): readonly boolean[] =>
  predicted.map((each, index) => each ?? real[index] ?? false);

/** What the kernel does with each probe, and whether the server saw who asked. */
const send = (lab: Lab): Promise<readonly boolean[]> =>
  Promise.all(
    probes.map(async ({ from, source, to, port, protocol }) => {
      const result = await lab.connect(from, { protocol, to, port, timeoutMs: 500 });
      return result.ok && result.saw?.client.address === source;
    }),
  );

const { text = '' } = scenes.vxlan ?? {};

async function inLab(
  change: string | undefined,
): Promise<{ readonly predicted: readonly (boolean | undefined)[]; readonly real: readonly boolean[] }> {
  await using lab = await startLab(slimEdge({ privateLink: true }));
  const facts = { edge: await observe(lab.host('edge')), node: await observe(lab.host('node')) };
  const plan = planned(text, facts);
  expect(unkept(verifyPlan(plan))).toEqual([]);
  const compiled =
    change === undefined ? plan.compiled : mutantsOf(plan.compiled).find(({ name }) => name.includes(change))?.compiled;
  if (compiled === undefined) throw new Error(`no mutant lacks ${change}`);
  for (const host of compiled.hosts.values()) await make(lab.host(host.name), host);
  await lab.host('neighbour').run(['ip', 'route', 'add', '192.168.1.20', 'via', '198.51.100.10']);
  await using _web = await lab.serve('node', { protocol: 'tcp', port: 8080 });
  await using _game = await lab.serve('node', { protocol: 'udp', port: 30_100 });
  const real = await send(lab);
  const network = futureNetwork(plan.set, compiled, plan.facts);
  const predicted = probes.map((probe) => predict(network, probe));
  // What was foretold stands: the same packets through what the hosts show now.
  const hosts = await Promise.all(
    [...compiled.hosts.values()].map(async ({ name, publicAddresses }) => ({
      ...{ name, openAddresses: publicAddresses },
      state: (await observe(lab.host(name))).state,
    })),
  );
  const tunnels = [
    {
      name: 'edge-node',
      ends: [
        { host: 'edge', link: 'sp-edge-node' },
        { host: 'node', link: 'sp-edge-node' },
      ] as const,
    },
  ];
  const standing = buildNetwork(hosts, tunnels);
  expect(probes.map((probe) => predict(standing, probe))).toEqual(predicted);
  return { predicted, real };
}

test('the kernel does with every probe what was foretold of a sound plan', async () => {
  const { predicted, real } = await inLab(undefined);
  expect(predicted).toEqual([true, true, true, true, false, false]);
  expect(real).toEqual(predicted);
});

for (const change of [
  'edge: sysctl net/ipv6/conf/all/forwarding',
  'edge: sp_forwards: meta l4proto { tcp, udp } dnat ip to ip daddr . meta l4proto . th dport map @sp_to4r',
  'edge: sp_far4_edge_node: 192.168.1.20',
  'edge: sp_from_edge_node: icmpv6 type',
  'node: routing rule IPv4 5001',
  'node: base chain sp_out',
  'node: sp_from_edge_node: ct state == established ct direction original',
  'node: sp_in4r_edge_node',
] as const)
  test(`the kernel does what was foretold without ${change}`, async () => {
    const { predicted, real } = await inLab(change);
    expect(predicted.filter((each) => each === false).length).toBeGreaterThan(1);
    expect(real).toEqual(compared(predicted, real));
  });
