import { describe, expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { paint } from './color.ts';
import type { PromiseReport } from './plan-report.ts';
import { printProof, requirePromises } from './proof.ts';
import { documents, startStory } from './testdata/story.ts';

const promise = (holds: PromiseReport['holds'], name = 'reachable', reason?: string): PromiseReport => ({
  resource: 'PortForward/web',
  promise: name,
  holds,
  ...(reason !== undefined && { reason }),
});

describe('what may be carried out', () => {
  const broken = promise(false, 'answers', 'edge: rp_filter');
  const open = promise('undecided', 'client kept');
  for (const [what, promises, flags, refused] of [
    ['all hold', [promise(true)], {}, undefined],
    ['one is undecided', [promise(true), open], {}, undefined],
    [
      'one is undecided and proof is required',
      [open],
      { requireProof: true },
      /nothing was changed: a promise is not proven\n.*PortForward\/web: client kept: undecided/,
    ],
    [
      'one does not hold',
      [promise(true), broken],
      {},
      /nothing was changed: a promise does not hold\n {2}PortForward\/web: answers: does not hold: edge: rp_filter/,
    ],
    ['the one that does not hold is accepted', [broken], { accept: ['PortForward/web: answers'] }, undefined],
    ['its resource is accepted', [broken, broken], { accept: ['PortForward/web'] }, undefined],
    ['another is accepted', [broken], { accept: ['PortForward/mail'] }, /does not hold/],
  ] as const)
    test(what, () => {
      const judge = (): readonly string[] => requirePromises(promises, flags);
      if (refused === undefined) expect(judge).not.toThrow();
      else expect(judge).toThrow(refused);
    });

  test('what was accepted is told with what may happen; what holds, or is let pass anyway, is not', () => {
    const all = [
      promise(true),
      { ...broken, risk: 'clients are not answered' },
      { ...open, risk: 'the target sees another' },
    ];
    const accept = ['PortForward/web'];
    const first =
      'accepted: PortForward/web: answers: does not hold: edge: rp_filter. The risk: clients are not answered.';
    expect(requirePromises(all, { accept })).toEqual([first]);
    expect(requirePromises(all, { accept, requireProof: true })).toEqual([
      first,
      'accepted: PortForward/web: client kept: undecided. The risk: it may be that the target sees another.',
    ]);
    const many = Array<PromiseReport>(12).fill({ ...broken, risk: 'clients are not answered' });
    const lines = requirePromises(many, { accept });
    expect([lines.length, lines.at(-1)]).toEqual([11, 'accepted: 2 more. The risk: clients are not answered.']);
    expect(requirePromises([promise(true)], { accept })).toEqual([]);
  });

  test('a refusal says what it would be to go on', () =>
    expect(() => requirePromises([{ ...broken, risk: 'clients are not answered' }], {})).toThrow(
      /--accept "PortForward\/web: answers" goes on with it broken: clients are not answered\.$/,
    ));
});

test('the proof in a line, with what is not proven below', () => {
  const text = printProof(
    [promise(true), promise(true), promise('undecided', 'client kept', 'a rule is not modelled')],
    paint(false),
  );
  expect(text).toBe(
    'Simulated: 2 promises hold, 1 undecided\n  PortForward/web: client kept: undecided: a rule is not modelled\n',
  );
  expect(printProof([], paint(false))).toBe('');
  const held = { resource: 'PortForward/web', promise: 'it is reached', holds: true } as const;
  const banned = '203.0.113.7: edge: inet f2b input';
  expect(
    printProof(
      [
        { ...held, except: [banned] },
        { ...held, except: [banned, '203.0.113.8: edge: it'] },
      ],
      paint(false),
    ),
  ).toBe(
    'Simulated: 2 promises hold\n  not for 203.0.113.7: edge: inet f2b input (2 promises)\n  not for 203.0.113.8: edge: it\n',
  );
  const many = Array.from({ length: 12 }, (_, index) => `192.0.2.${index}: edge: it`);
  expect(printProof([{ ...held, except: many }], paint(false))).toMatch(/\n {2}\.\.\. and 2 kinds of clients more\n$/);
});

test('a plan that a rule of somebody else would break, where no accept can stand, is refused with that rule, changes nothing, and is carried out once accepted', async () => {
  await using story = await startStory(slimEdge(), async (lab) => {
    await lab.host('edge').run(['nft', '-f', '-'], {
      stdin:
        'table inet theirs { chain late { type filter hook postrouting priority 0; policy accept; tcp dport 8080 drop; }\n}\n',
    });
  });
  const text = documents();
  const before = await story.lab.dump('edge');
  const refused = await story.sallyport(['apply', '--yes', '-f', '-'], text);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toMatch(/nothing was changed: .*not hold/);
  expect(refused.stderr).toMatch(/8080 drop/);
  expect(await story.lab.dump('edge')).toBe(before);
  const planned = await story.sallyport(['plan', '-o', 'json', '-f', '-'], text);
  expect(planned.status).toBe(1);
  const { promises } = JSON.parse(planned.stdout);
  expect(promises.some(({ holds, trace }: PromiseReport) => holds === false && trace !== undefined)).toBe(true);
  const accepting = ['--accept', 'PortForward/services', '-f', '-'];
  const told =
    /^accepted: PortForward\/services: reachable from outside by edge .*: does not hold: edge drops .* in postrouting: inet theirs late: tcp dport 8080 drop.*\. The risk: clients from outside are not served\.$/m;
  const shown = await story.sallyport(['plan', '-o', 'json', ...accepting], text);
  expect(shown).toMatchObject({ status: 0, stderr: expect.stringMatching(told) });
  expect(JSON.parse(shown.stdout).promises).toContainEqual(
    expect.objectContaining({ holds: false, risk: 'clients from outside are not served' }),
  );
  const accepted = await story.sallyport(['apply', '--yes', '-o', 'json', ...accepting], text);
  expect(accepted, accepted.stderr).toMatchObject({ status: 0, stderr: expect.stringMatching(told) });
  expect(JSON.parse(accepted.stdout).promises).toEqual(JSON.parse(shown.stdout).promises);
  await story.destroy(text);
});

test('a plan that a statement leaves undecided is shown and applied; where proof is required it is refused, and nothing is changed', async () => {
  await using story = await startStory(slimEdge(), async (lab) => {
    // Of whose socket a packet is the model does not know.
    await lab.host('edge').run(['nft', '-f', '-'], {
      stdin:
        'table inet theirs { chain late { type filter hook postrouting priority 0; policy accept; tcp dport 8080 meta cgroup 77 drop; }\n}\n',
    });
  });
  const text = documents();
  const held = ['edge', 'node'];
  const dumps = () => Promise.all(held.map((host) => story.lab.dump(host)));
  const before = await dumps();
  const open = /PortForward\/services: reachable from outside .*: undecided: .*cgroup/;
  const strict = await story.sallyport(['apply', '--yes', '--require-proof', '-f', '-'], text);
  expect(strict).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/nothing was changed: 6 promises are not proven$/m),
  });
  expect(strict.stderr).toMatch(open);
  expect(await dumps()).toEqual(before);
  expect(await story.sallyport(['plan', '--require-proof', '-f', '-'], text)).toMatchObject({ status: 1 });
  const plain = await story.sallyport(['apply', '--yes', '-f', '-'], text);
  expect(plain, plain.stderr).toMatchObject({ status: 0, stdout: expect.stringMatching(open) });
  expect(plain.stdout).toMatch(/Simulated: .* undecided/);
  await using _server = await story.lab.serve('node', { protocol: 'tcp', port: 8080 });
  expect(await story.ask('client', { protocol: 'tcp', to: '198.51.100.10', port: 80 })).toBe('seen from 192.0.2.10');
  await story.destroy(text);
});

test('a firewall that lets no ICMP error out is a black hole: the plan says so, and the packets show it', async () => {
  const guard =
    'table inet theirs { chain out { type filter hook output priority 0; icmp type destination-unreachable drop; }\n}\n';
  await using story = await startStory(slimEdge());
  const { lab } = story;
  const text = documents({ forward: 'ports: [{ protocol: UDP, port: 443 }]\n  to: [{ host: node, via: edge-node }]' });
  /** What the client's kernel has learnt of the way after a datagram of 1500 bytes that nobody may fragment. */
  const learnt = async (): Promise<string> => {
    const client = lab.host('client');
    await client.run(['ip', 'route', 'flush', 'cache']);
    const send =
      'use Socket; socket(S, PF_INET, SOCK_DGRAM, 17); setsockopt(S, 0, 10, pack("i", 2)); connect(S, sockaddr_in(443, inet_aton("198.51.100.10"))); send(S, "x" x 1472, 0); recv(S, my $b, 9, 0) if shift';
    await client.run(['timeout', '2', 'perl', '-e', send, '1'], { allowFailure: true });
    return (await client.run(['ip', 'route', 'get', '198.51.100.10'])).stdout;
  };
  await story.apply(text);
  expect(await learnt()).toMatch(/mtu 1440/);
  await lab.host('edge').run(['nft', '-f', '-'], { stdin: guard });
  expect(await learnt()).not.toMatch(/mtu/);
  const refused = await story.sallyport(['apply', '--yes', '-f', '-'], text);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toMatch(
    /who sends packets too large for the way is told what fits: does not hold: .* of 1500 bytes is larger than the MTU 1440 .*; that does not reach its sender: edge drops .* in output: inet theirs out/,
  );
  await lab.host('edge').run(['nft', 'delete', 'table', 'inet', 'theirs']);
  await story.destroy(text);
});
