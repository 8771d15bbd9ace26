/** A scenario by the kernel and by the model, packet by packet, to the first difference. */
import type { HostState } from '../src/host/index.ts';
import { type Address, parseAddress, printAddress } from '../src/net/index.ts';
import {
  buildNetwork,
  type Connections,
  type Flow as ModelFlow,
  type Network,
  simulate,
  type Way,
} from '../src/simulate/index.ts';
import { type Kernel, outsideOf, type Step, startKernel } from './kernel.ts';
import type { Flow, Scenario } from './scenario.ts';
import { differenceOf, FREE_PORTS, kernelStory, modelStory, type Ports } from './story.ts';

export interface Result {
  /** Flows compared to their end, in all that they sent. */
  readonly checks: number;
  readonly packets: number;
  /** Of flows that the model does not decide: why, each. */
  readonly undecided: readonly string[];
  /** Endings by their first word, of requests: what the scenarios really reach. */
  readonly endings: ReadonlyMap<string, number>;
  readonly difference?: { readonly flow: number; readonly packet: string; readonly text: string };
}

const at = (text: string): Address => {
  const read = parseAddress(text);
  if (read === undefined) throw new Error(`not an address: ${text}`);
  return read;
};

export async function checkScenario(scenario: Scenario): Promise<Result> {
  const { kernel, states } = await startKernel(scenario);
  await using _ = kernel;
  const network = buildNetwork(
    [...states].map(([name, state]) => ({ name, state, openAddresses: [] })),
    [],
  );
  let connections: Connections = new Map();
  let checks = 0;
  let packets = 0;
  const undecided: string[] = [];
  const endings = new Map<string, number>();
  for (const [number, flow] of scenario.flows.entries()) {
    const outcome = await checkFlow({ kernel, states, network, connections }, flow, number);
    packets += outcome.packets;
    if (outcome.undecided !== undefined) {
      // What the hosts track now the model does not know.
      undecided.push(outcome.undecided);
      connections = new Map();
      await kernel.forget();
    } else checks++;
    await kernel.close();
    endings.set(outcome.ending, (endings.get(outcome.ending) ?? 0) + 1);
    if (outcome.difference !== undefined)
      return { checks, packets, undecided, endings, difference: { ...outcome.difference, flow: number } };
  }
  return { checks, packets, undecided, endings };
}

interface Bench {
  readonly kernel: Kernel;
  readonly states: ReadonlyMap<string, HostState>;
  readonly network: Network;
  readonly connections: Connections;
}

interface Outcome {
  readonly packets: number;
  readonly ending: string;
  readonly undecided?: string;
  readonly difference?: { readonly packet: string; readonly text: string };
}

async function checkFlow(
  { kernel, states, network, connections }: Bench,
  flow: Flow,
  number: number,
): Promise<Outcome> {
  const { from } = flow;
  const modelFlow: ModelFlow = {
    from:
      'link' in from
        ? { kind: 'beyond', host: from.host, link: from.link, address: at(from.source) }
        : { kind: 'host', host: from.host },
    ...{ to: at(flow.to), port: flow.port, protocol: flow.protocol, sourcePort: flow.sourcePort },
  };
  const { request, reply, next } = simulate(network, modelFlow, { connections, hops: true, freePort });
  const ports: Ports = new Map();
  const ways: readonly (readonly [string, Way, Step])[] = [
    ['request', request, requestOf(flow, number)],
    ...(reply === undefined ? [] : [['reply', reply, replyTo(request, number)] as const]),
    ...(next === undefined ? [] : [['next', next, requestOf(flow, number)] as const]),
  ];
  const ending = request.verdict;
  let packets = 0;
  for (const [packet, way, step] of ways) {
    const seen = await kernel.send(withPorts(step, ports));
    packets++;
    const told = modelStory(way);
    if (told === undefined) return { packets, ending, undecided: way.reason ?? 'no reason' };
    const text = differenceOf(told, kernelStory(seen, states), ports);

    if (text !== undefined)
      return {
        packets,
        ending,
        difference: { packet, text: `${text}${seen.lost === true ? ' (messages were lost)' : ''}` },
      };
  }
  return { packets, ending };
}

/** Each a port that nobody else uses, so that it is known again beside the one that the kernel took. */
let freePorts = 0;
const freePort = (): number => FREE_PORTS.first + (freePorts++ % FREE_PORTS.count);

/** The ports that the model chose, as the kernel chose them. */
function withPorts(step: Step, ports: Ports): Step {
  const real = (port: number): number => ports.get(port) ?? port;
  if (step.kind === 'ask') return step;
  const turned = <T extends { readonly sourcePort: number; readonly destinationPort: number }>(tuple: T): T => ({
    ...tuple,
    sourcePort: real(tuple.sourcePort),
    destinationPort: real(tuple.destinationPort),
  });
  return step.kind === 'inject' ? { ...step, packet: turned(step.packet) } : turned(step);
}

function requestOf({ from, to, sourcePort, port }: Flow, number: number): Step {
  const payload = `fuzz ${number}`;
  const ports = { sourcePort, destinationPort: port, destination: to, payload };
  return 'link' in from
    ? { kind: 'inject', link: outsideOf(from.host, from.link), packet: { ...ports, source: from.source, protocol: 17 } }
    : { kind: 'ask', space: from.host, ...ports };
}

/** From where the model says the request came to; that the kernel says so too was compared before. */
function replyTo({ packet, verdict, host = '', link = '' }: Way, number: number): Step {
  const tuple = {
    ...{
      source: printAddress(packet.destination),
      destination: printAddress(packet.source),
      protocol: packet.protocol,
    },
    ...{ sourcePort: packet.destinationPort, destinationPort: packet.sourcePort, payload: `fuzz ${number}` },
  };
  return verdict === 'delivered'
    ? { kind: 'answer', space: host, ...tuple }
    : { kind: 'inject', link: outsideOf(host, link), packet: tuple };
}
