/** Which targets a forward leads to, by what is known of them; and how they are asked. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { printAddress, printPortRange } from '../net/index.ts';
import { loadResources, printProblem } from '../resources/index.ts';
import { type Compiled, compile, type TargetHealth } from './index.ts';
import { edge, node, sketch } from './testdata/facts.ts';

const SLIM_EDGE = readFileSync(new URL('testdata/slim-edge.yaml', import.meta.url), 'utf8');
const HOSTS = SLIM_EDGE.slice(0, SLIM_EDGE.indexOf('kind: PortForward')).replace(/apiVersion: \S+\n$/, '');
const OTHERS = ['192.0.2.40', '192.0.2.41'];
/** A forward to the node, then to two addresses that the edge reaches itself. */
const documents = (more = '', ports = '{ protocol: TCP, port: 80, targetPort: 8080 }'): string =>
  `${HOSTS}apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: web }
spec: { at: { hosts: [edge], addresses: [198.51.100.10] }, ports: [${ports}], to: [{ host: node }, ${OTHERS.map((address) => `{ address: ${address} }`).join(', ')}]${more} }
`;
const NAMES = ['node', ...OTHERS];

function run(text: string, answers?: readonly (boolean | undefined)[], before?: Compiled): Compiled {
  const { set, problems } = loadResources([{ name: 'test.yaml', text }]);
  if (set === undefined) throw new Error(problems.map(printProblem).join('\n'));
  const record = before?.hosts.get('edge')?.record;
  const facts = new Map([
    ['edge', { ...edge(), ...(record !== undefined && { record }) }],
    ['node', node()],
  ]);
  const health: TargetHealth = new Map(answers === undefined ? [] : [['edge', new Map([['web', answers]])]]);
  const compiled = compile(set, facts, { setName: 'default', version: '0.0.0', health });
  expect(compiled.problems.map(printProblem)).toEqual([]);
  return compiled;
}

/** The names of the targets that the forward leads to, and of those that it leaves out. */
function chosen(compiled: Compiled): { readonly to: readonly string[]; readonly silent: readonly string[] } {
  const forward = compiled.hosts.get('edge')?.share.forwards[0];
  if (forward === undefined) throw new Error('no forward');
  const addresses = (forward.balance ?? [forward]).map(({ to }) => printAddress(to));
  return { to: addresses.map((each) => (OTHERS.includes(each) ? each : 'node')), silent: forward.silent ?? [] };
}

describe('policy Failover leads to', () => {
  for (const [what, answers, to, silent] of [
    ['the first where nobody asked', undefined, 'node', []],
    ['the first that answers', [false, true, true], '192.0.2.40', ['node']],
    ['the first though a later one is silent', [true, false, false], 'node', []],
    ['the last where it alone answers', [false, false, true], '192.0.2.41', ['node', '192.0.2.40']],
    ['the first where none answers', [false, false, false], 'node', []],
    ['the first of those nobody asked', [false, undefined, undefined], '192.0.2.40', ['node']],
  ] as const)
    test(what, () => expect(chosen(run(documents(), answers))).toEqual({ to: [to], silent }));

  test('what it led to, where nobody asks any more, until somebody finds otherwise', () => {
    const moved = run(documents(), [false, true, true]);
    const later = run(documents(), undefined, moved);
    expect(chosen(later)).toEqual({ to: ['192.0.2.40'], silent: ['node'] });
    expect(chosen(run(documents(), [true, undefined, undefined], later))).toEqual({ to: ['node'], silent: [] });
  });
});

test('policy Balance leads to all that answer, and takes nobody in again unasked', () => {
  const balance = documents(', policy: Balance');
  const moved = run(balance, [true, false, true]);
  expect(chosen(moved)).toEqual({ to: ['node', '192.0.2.41'], silent: ['192.0.2.40'] });
  expect(chosen(run(balance, undefined, moved))).toEqual(chosen(moved));
  expect(chosen(run(balance, [false, false, false])).to).toEqual(NAMES);
});

describe('what is drained', () => {
  const target = documents().replace('{ host: node }', '{ host: node, drain: true }');
  const host = documents().replace(/(name: node \}?\n(?:spec:)?\n?)/, '$1  drain: true\n');
  const all = target.replaceAll(/(address: 192\.0\.2\.4\d)/g, '$1, drain: true');
  for (const [what, text, answers, to] of [
    ['is left out', target, undefined, '192.0.2.40'],
    ['is left out with its host', host, undefined, '192.0.2.40'],
    ['is left out, and so is what does not answer', target, [true, false, true], '192.0.2.41'],
    ['is better than what does not answer', target, [true, false, false], 'node'],
    ['goes on where all is', all, undefined, 'node'],
  ] as const)
    test(what, () => {
      const compiled = run(text, answers);
      expect(chosen(compiled).to).toEqual([to]);
      expect(compiled.hosts.get('edge')?.notes.join('\n')).toMatch(/web: .*node.* (is|are) (to be )?drained/);
    });

  test('is taken again once it is not, though nobody asked', () => {
    expect(chosen(run(documents(), undefined, run(target)))).toEqual({ to: ['node'], silent: [] });
  });

  test('gives its clients to the others, under Balance', () => {
    const balance = target.replace('{ host: node, drain: true }', '{ host: node, drain: true, weight: 3 }');
    expect(chosen(run(balance.replace(/\} *\n$/, ', policy: Balance }\n'))).to).toEqual(OTHERS);
  });
});

test('without any that answers the plan warns, and says what it does', () => {
  const notes = run(documents(), [false, false, false]).hosts.get('edge')?.notes.join('\n');
  expect(notes).toContain('no target answers (node, 192.0.2.40, 192.0.2.41); it is sent on as if all did');
});

describe('targets are asked', () => {
  const asked = (compiled: Compiled): readonly string[] =>
    compiled.probes.map(
      ({ host, id, address, port, path, any, intervalMs, failures }) =>
        `${host}: ${id} at ${printAddress(address)} ${port}${path ?? ''}${any ? ' any' : ''} ${failures} x ${intervalMs}`,
    );
  test('as the documents say, where the forward sends what it gets', () => {
    expect(asked(run(documents(', health: { tcp: 9090, interval: 1s, failures: 5 }')))).toEqual([
      'edge: node at 192.168.1.20 9090 5 x 1000',
      'edge: 192.0.2.40 at 192.0.2.40 9090 5 x 1000',
      'edge: 192.0.2.41 at 192.0.2.41 9090 5 x 1000',
    ]);
    expect(asked(run(documents(', health: { http: { port: 8080, path: /healthz } }')))[0]).toBe(
      'edge: node at 192.168.1.20 8080/healthz 3 x 200',
    );
  });
  test('at the first TCP port where they do not say, if there are several', () => {
    const both = '{ protocol: UDP, port: 53 }, { protocol: TCP, port: 80, targetPort: 8080 }';
    expect(asked(run(documents('', both)))[0]).toBe('edge: node at 192.168.1.20 8080 any 3 x 200');
    expect(asked(run(documents('', '{ protocol: UDP, port: 53 }')))).toEqual([]);
    expect(asked(run(SLIM_EDGE))).toEqual([]);
  });
  test('through the tunnel: the node takes the port of the probe from it, and no other', () => {
    const taken = (text: string): readonly string[] =>
      (run(text).hosts.get('node')?.share.accepts ?? []).map(
        ({ protocol, ports }) => `${protocol} ${printPortRange(ports)}`,
      );
    expect(taken(documents())).toEqual(['tcp 8080']);
    expect(taken(documents(', health: { tcp: 8080 }'))).toEqual(['tcp 8080']);
    expect(taken(documents(', health: { tcp: 9090 }'))).toEqual(['tcp 8080', 'tcp 9090']);
    expect(taken(documents(', health: { tcp: 3001 }', '{ protocol: TCP, port: 3000-3002 }'))).toEqual([
      'tcp 3000-3002',
    ]);
    expect(taken(documents(', health: { tcp: 53 }', '{ protocol: UDP, port: 53 }'))).toEqual(['udp 53', 'tcp 53']);
  });
});

test('where the edge has no route to a target it is not asked', () => {
  const { set } = loadResources([{ name: 'test.yaml', text: documents() }]);
  if (set === undefined) throw new Error('bad documents');
  const closed = sketch({ interfaces: { eth0: ['198.51.100.10/24'] } });
  const compiled = compile(
    set,
    new Map([
      ['edge', closed],
      ['node', node()],
    ]),
    { setName: 'default', version: '0' },
  );
  expect(compiled.probes.map(({ id }) => id)).toEqual(['node']);
});
