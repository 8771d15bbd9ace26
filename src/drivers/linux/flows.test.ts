import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ForwardShare } from '../../host/index.ts';
import { type Address, parseAddress, sameAddress } from '../../net/index.ts';
import { flowsOfFew, type MovedFlows, mayEndTcp, staleFlows } from '../../plan/index.ts';
import { localTransport } from '../../transport/index.ts';
import { endCommands, readFlows, watchFlows } from './flows.ts';

const at = (text: string): Address => {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(text);
  return address;
};

const line = (
  client: string,
  asked: string,
  port: number,
  to: string,
  toPort: number,
  mark = 255,
  protocol = 'udp',
): string =>
  `${protocol}      17 29 src=${client} dst=${asked} sport=40000 dport=${port} [UNREPLIED] src=${to} dst=${client} sport=${toPort} dport=40000 mark=${mark} use=1`;

const forward = (port: number, to: string, more: Partial<ForwardShare> = {}): ForwardShare => ({
  ...{
    name: 'f',
    match: { address: at('198.51.100.10') },
    protocol: 'udp',
    to: at(to),
    masquerade: false,
    publicLinks: [],
  },
  ...{ ports: { first: port, last: port }, targetPorts: { first: port, last: port }, ...more },
});

const moved = (after: readonly ForwardShare[], before: readonly ForwardShare[] = []): MovedFlows => ({
  ...{ kind: 'flows', mask: 0xff, forwarded: 0xff, masqueraded: 0xfe, places: [], before, after },
});

const EDGE = '198.51.100.10';
const isStale = (
  after: readonly ForwardShare[],
  text: string,
  before: readonly ForwardShare[] = [],
): readonly boolean[] => readFlows(text).map(staleFlows(moved(after, before)));

describe('a flow ends', () => {
  for (const [name, stale, after, text] of [
    [
      'not where the forward leads there',
      false,
      [forward(53, '10.0.0.1')],
      line('192.0.2.1', EDGE, 53, '10.0.0.1', 53),
    ],
    ['where it leads to another address', true, [forward(53, '10.0.0.2')], line('192.0.2.1', EDGE, 53, '10.0.0.1', 53)],
    [
      'where it leads to another port',
      true,
      [forward(53, '10.0.0.1', { targetPorts: { first: 5353, last: 5353 } })],
      line('192.0.2.1', EDGE, 53, '10.0.0.1', 53),
    ],
    [
      'where it now hides the client',
      true,
      [forward(53, '10.0.0.1', { masquerade: true })],
      line('192.0.2.1', EDGE, 53, '10.0.0.1', 53),
    ],
    ['where there is no forward', true, [], line('192.0.2.1', EDGE, 53, '10.0.0.1', 53)],
    ['not where its mark is none of ours', false, [], line('192.0.2.1', EDGE, 53, '10.0.0.1', 53, 0x1)],
    ['also where others have bits of its mark', true, [], line('192.0.2.1', EDGE, 53, '10.0.0.1', 53, 0x4ff)],
    [
      'not where a lease leads there',
      false,
      [forward(53, '10.0.0.1', { match: { interface: 'eth0', family: 4 } })],
      line('192.0.2.1', EDGE, 53, '10.0.0.1', 53),
    ],
    [
      'inside a range, by the shift of its port',
      false,
      [forward(50, '10.0.0.1', { ports: { first: 50, last: 59 }, targetPorts: { first: 150, last: 159 } })],
      line('192.0.2.1', EDGE, 53, '10.0.0.1', 153),
    ],
    [
      'also where it would go right, but nobody tracks it any more',
      true,
      [forward(53, '10.0.0.1', { protocol: 'tcp', stateless: true })],
      line('192.0.2.1', EDGE, 53, '10.0.0.1', 53, 255, 'tcp'),
    ],
    ['never of TCP where it may finish', false, [], line('192.0.2.1', EDGE, 53, '10.0.0.1', 53, 255, 'tcp')],
  ] as const)
    test(name, () => expect(isStale(after, text)).toEqual([stale]));

  test('of TCP where the forward, or the one before, does not let it finish', () => {
    const cut = forward(53, '10.0.0.2', { protocol: 'tcp', drain: false });
    const text = line('192.0.2.1', EDGE, 53, '10.0.0.1', 53, 255, 'tcp');
    expect(isStale([cut], text)).toEqual([true]);
    expect(isStale([], text, [cut])).toEqual([true]);
  });
});

describe('the commands', () => {
  const end = (after: readonly ForwardShare[], ...lines: readonly string[]): readonly string[] =>
    endCommands(readFlows(lines.join('\n')), staleFlows(moved(after)), moved(after)).map((words) => words.join(' '));

  test('ten thousand flows on a target that left are one', () => {
    const flows = Array.from({ length: 10_000 }, (_, index) =>
      line(`192.0.${index >> 8}.${index & 255}`, EDGE, 1 + (index % 5_000), '10.0.0.1', 1 + (index % 5_000)),
    );
    expect(end([], ...flows)).toEqual(['-D -f ipv4 -p udp -m 0xff/0xff --reply-src 10.0.0.1']);
  });

  test('where another forward still leads to the target, by port', () => {
    const stays = line('192.0.2.1', EDGE, 54, '10.0.0.1', 54);
    expect(end([forward(54, '10.0.0.1')], stays, line('192.0.2.1', EDGE, 53, '10.0.0.1', 53))).toEqual([
      `-D -f ipv4 -p udp -m 0xff/0xff --reply-src 10.0.0.1 --orig-dst ${EDGE} --orig-port-dst 53 --reply-port-src 53`,
    ]);
  });

  test('by port too where the other forward has no flow yet: one may come before the command', () => {
    expect(end([forward(54, '10.0.0.1')], line('192.0.2.1', EDGE, 53, '10.0.0.1', 53))).toEqual([
      `-D -f ipv4 -p udp -m 0xff/0xff --reply-src 10.0.0.1 --orig-dst ${EDGE} --orig-port-dst 53 --reply-port-src 53`,
    ]);
  });

  test('never one that finds a flow that goes right', () => {
    const balance = ['a', 'b'].map((id, index) => ({
      id,
      to: at(`10.0.0.${index + 1}`),
      masquerade: false,
      weight: 1,
    }));
    const lines = Array.from({ length: 40 }, (_, index) => line(`192.0.2.${index + 1}`, EDGE, 53, '10.0.0.1', 53));
    const flows = readFlows(lines.join('\n'));
    const change = moved([forward(53, '10.0.0.1', { balance })]);
    const judge = staleFlows(change);
    const stale = flows.filter(judge);
    expect(stale.length).toBeGreaterThan(5);
    expect(stale.length).toBeLessThan(35);
    const commands = endCommands(flows, judge, change).map((words) => words.join(' '));
    expect(commands).toHaveLength(stale.length);
    for (const command of commands) expect(command).toMatch(/ --orig-src 192\.0\.2\.\d+ /);
  });
});

describe('a kernel that does not let go of what is in its fast path', () => {
  for (const [name, status, refused] of [
    ['is refused by name', '[OFFLOAD]', true],
    ['is none where the flow is not in it', '', false],
  ] as const)
    test(name, async () => {
      const listed = line('192.0.2.7', EDGE, 53, '10.0.0.2', 5353)
        .replace('[UNREPLIED]', '')
        .replace(' mark', ` ${status} mark`);
      // `conntrack` as before June 2023: it lists the flow whatever is asked of it.
      const run = async () => ({ status: 0, stdout: `${listed}\n`, stderr: '' });
      const transport = { ...localTransport('edge'), run };
      const error = await watchFlows(transport, moved([forward(53, '10.0.0.3')])).end(undefined);
      if (refused) expect(error?.message).toMatch(/^edge: .*\d+ flows in the fast path .*fastPath: "Off"/);
      else expect(error).toBeUndefined();
    });
});

describe('of TCP flows', () => {
  const listedBy = async (forwards: MovedFlows): Promise<readonly string[]> => {
    const asked: string[] = [];
    const run = async ({ argv }: { readonly argv: readonly string[] }) => {
      asked.push(...argv.slice(4)); // `sh -c SCRIPT sh`
      return { status: 0, stdout: '', stderr: '' };
    };
    await watchFlows({ ...localTransport('edge'), run }, forwards).end(undefined);
    return asked;
  };
  const plain = forward(53, '10.0.0.1', { protocol: 'tcp' });
  for (const [name, read, before, after] of [
    ['none is read where all may finish', false, [plain], [plain, forward(54, '10.0.0.1')]],
    ['all are read where one before does not let its own finish', true, [{ ...plain, drain: false as const }], []],
    ['all are read where one now does not let its own finish', true, [], [{ ...plain, drain: false as const }]],
    ['all are read where nobody tracks them any more', true, [], [{ ...plain, stateless: true as const }]],
  ] as const)
    test(name, async () => {
      const asked = await listedBy(moved(after, before));
      // What 0xff and 0xfe have in common is 0xfe: both marks by one look.
      const end = read ? '' : ' -p udp';
      expect(asked).toEqual(['ipv4', 'ipv6'].map((family) => `-L -f ${family} -m 0xfe/0xfe${end}`));
    });

  test('one ends only where all are read', () => {
    const some = fc.array(
      fc
        .record({
          port: fc.constantFrom(53, 54),
          to: fc.constantFrom('10.0.0.1', '10.0.0.2'),
          protocol: fc.constantFrom('tcp' as const, 'udp' as const),
          more: fc.constantFrom({}, {}, { drain: false as const }, { stateless: true as const }),
        })
        .map(({ port, to, protocol, more }) => forward(port, to, { protocol, ...more })),
      { maxLength: 3 },
    );
    const flows = readFlows(line('192.0.2.1', EDGE, 53, '10.0.0.1', 53, 255, 'tcp'));
    fc.assert(
      fc.property(some, some, (before, after) => {
        const these = moved(after, before);
        if (!mayEndTcp(these)) expect(flows.map(staleFlows(these))).toEqual([false]);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('where a few forwards lead elsewhere', () => {
  const one = fc
    .record({
      port: fc.constantFrom(53, 54, 55),
      to: fc.constantFrom('10.0.0.1', '10.0.0.2'),
      more: fc.constantFrom<Partial<ForwardShare>>(
        {},
        {},
        { masquerade: true },
        { targetPorts: { first: 5353, last: 5353 } },
        { protocol: 'tcp' },
        { protocol: 'tcp', drain: false },
        { ports: { first: 60, last: 69 }, targetPorts: { first: 60, last: 69 } }, // no two of a host take one port
        { match: { interface: 'eth0', family: 4 } },
        { stateless: true },
        { balance: [{ id: 'a', to: at('10.0.0.1'), masquerade: false, weight: 1 }] },
      ),
    })
    .map(({ port, to, more }) => forward(port, to, more));
  const other = fc.record({
    place: fc.nat(3),
    change: fc.constantFrom<Partial<ForwardShare>>(
      { to: at('10.0.0.1') },
      { to: at('10.0.0.2') },
      { to: at('10.0.0.2'), drain: false },
      { masquerade: true },
      { stateless: true },
      { policy: { connections: 5 } },
    ),
  });
  const some = fc.uniqueArray(one, {
    maxLength: 6,
    selector: ({ protocol, ports, match }) => `${protocol} ${ports.first} ${'address' in match}`,
  });
  const flows = ['udp', 'tcp'].flatMap((protocol) =>
    [53, 54, 55, 63].flatMap((port) =>
      ['10.0.0.1', '10.0.0.2'].flatMap((to) =>
        [port, 5353].flatMap((toPort) =>
          [255, 254, 1].flatMap((mark) => readFlows(line('192.0.2.1', EDGE, port, to, toPort, mark, protocol))),
        ),
      ),
    ),
  );

  test('the flows of these end, as a look at all would have it', () => {
    let told = 0;
    fc.assert(
      fc.property(some, fc.array(other, { minLength: 1, maxLength: 3 }), (standing, others) => {
        // Of those that stayed it is the very object.
        const after = standing.map((each, index) => {
          const change = others.find(({ place }) => place === index)?.change;
          return change === undefined ? each : { ...each, ...change };
        });
        const these = moved(after, standing);
        const few = flowsOfFew(these);
        if (few === undefined) return;
        told += few.length > 0 ? 1 : 0;
        // What the change before this one ended is there no more.
        const wasGone = staleFlows(moved(standing, standing));
        const led = flows.filter((flow) => !wasGone(flow));
        const isOf = (flow: (typeof flows)[number]) => (ends: (typeof few)[number]) =>
          ends.protocol === flow.protocol &&
          sameAddress(ends.asked, flow.asked) &&
          sameAddress(ends.target, flow.target) &&
          ends.askedPort === flow.askedPort &&
          ends.targetPort === flow.targetPort &&
          ends.mark === flow.mark;
        const isGone = staleFlows(these);
        expect(led.map((flow) => few.some(isOf(flow)))).toEqual(led.map(isGone));
      }),
      { numRuns: 2_000 },
    );
    expect(told).toBeGreaterThan(50);
  });

  test('not where one may be in the fast path, or they are many', () => {
    const all = (to: string) => Array.from({ length: 9 }, (_, index) => forward(50 + index, to));
    const [before, after] = [all('10.0.0.1'), all('10.0.0.2')];
    expect(flowsOfFew(moved(after.slice(0, 8), before.slice(0, 8)))).toHaveLength(8);
    expect(flowsOfFew({ ...moved(after.slice(0, 8), before.slice(0, 8)), fastPath: true })).toBeUndefined();
    expect(flowsOfFew(moved(after, before))).toBeUndefined();
  });

  test('nothing is listed, and the ends come with the transaction', async () => {
    const run = () => expect.fail('nobody asked');
    const watch = watchFlows(
      { ...localTransport('edge'), run },
      moved([forward(53, '10.0.0.2')], [forward(53, '10.0.0.1')]),
    );
    expect((await watch.foresee())?.at(-1)).toBe(
      `-D -f ipv4 -p udp -m 0xff/0xff --reply-src 10.0.0.1 --orig-dst ${EDGE} --orig-port-dst 53 --reply-port-src 53\n`,
    );
    expect(await watch.end('')).toBeUndefined();
  });
});
