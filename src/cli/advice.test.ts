/** The pod behind a cloud's network load balancer: what the advice of the web does, tried with real packets and traced. */
import { expect, test } from 'vitest';
import {
  ADVICE,
  HEALTH,
  KUBELET,
  type Lab,
  NODE,
  onTunnel,
  POD,
  podNetwork,
  startLab,
  unanswered,
  wgQuick,
} from '../lab/index.ts';
import { simulate } from '../simulate/index.ts';
import { liveNetwork } from '../verify/index.ts';
import { openOutput } from './output.ts';
import { sightAll, sightingsOf } from './sightings.ts';
import { surveyManaged } from './survey.ts';
import { labDoctor, openLabHosts } from './testdata/lab-doctor.ts';
import { placeQuestion, readQuestion } from './trace-question.ts';

const PROBERS = [
  { host: 'prober', address: '10.0.9.7' },
  { host: 'near', address: '10.0.1.9' },
] as const;
const NEVER = new AbortController().signal;

/** Of each prober: whether it is answered, whether the trace says so, and whether the answer is seen to go into the tunnel. */
async function ask(lab: Lab, to: string, port: number) {
  const names = ['prober', 'router', 'near', 'pod', 'node'];
  const { set, managed } = openLabHosts(lab, names);
  const [seen, survey, sightings] = await Promise.all([
    Promise.all(PROBERS.map(({ host }) => unanswered(lab, host, to, port, { timeoutMs: 1_200 }))),
    surveyManaged(set, managed, NEVER, openOutput('json', false)),
    sightAll(managed, NEVER),
  ]);
  const network = liveNetwork(set, survey.facts, survey.unreachable, sightingsOf(sightings, survey.facts));
  return PROBERS.map(({ host, address }, index) => {
    const question = readQuestion({ from: address, to: `${to}:${port}/tcp` }, names);
    const { works, reply } = simulate(network, placeQuestion(network, question), { hops: true });
    return {
      ...{ host, answered: seen[index] === undefined, traced: works === true },
      // What lies behind the tunnel's peer nobody knows: that the answer goes there is what the model can tell.
      intoTunnel: reply?.crossings.some(({ from }) => from?.link === 'wg0') === true,
    };
  });
}

const expected = (far: boolean, near: boolean) =>
  [far, near].map((answered, index) => ({
    ...{ host: PROBERS[index]?.host, answered, traced: answered, intoTunnel: !answered },
  }));

const say = (answered: boolean): string => (answered ? 'answered' : 'answered into wg0');

test('each advice of the web: the packets and the trace agree', async () => {
  await using lab = await startLab(podNetwork);
  await wgQuick(lab);
  // What doctor says of each is what each does.
  const [named] = await labDoctor.look(lab, { code: 'tunnelTakesReplies', host: 'pod' }, []);
  expect(named?.tried?.map((line) => line.split(': from ')[1])).toEqual([
    ...ADVICE.map(({ far, near }) => `off the subnet ${say(far)}; from its own subnet ${say(near)}`),
    'off the subnet answered into wg0; from its own subnet answered',
  ]);
  for (const { title, script, undo, far, near } of ADVICE) {
    await onTunnel(lab, 'pod', script);
    expect([title, await ask(lab, POD, HEALTH)]).toEqual([title, expected(far, near)]);
    await onTunnel(lab, 'pod', undo);
  }
});

test('with hostNetwork the same rules take the answers of the whole node, and doctor says so of it', async () => {
  await using lab = await startLab(podNetwork);
  await lab.serve('node', { protocol: 'tcp', port: KUBELET });
  expect(await ask(lab, NODE, KUBELET)).toEqual(expected(true, true));
  await wgQuick(lab, 'node');
  expect(await ask(lab, NODE, KUBELET)).toEqual(expected(false, true));
  const found = await labDoctor.look(lab, { code: 'tunnelTakesReplies', host: 'node' }, []);
  expect(found.map(({ code, severity }) => [code, severity])).toEqual([['tunnelTakesReplies', 'error']]);
  // What the node asks by itself goes there too.
  expect((await onTunnel(lab, 'node', 'ip route get 10.0.9.7')).split('\n')[0]).toContain('dev wg0 table 51820');
});
