/** Each variant of the manifests, before Kubernetes' own definitions and beside what the pod does. */
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { parsePrefix } from '../net/index.ts';
import {
  CLOUDS,
  type CloudName,
  healthPortsOf,
  type KubernetesObject,
  type NlbOptions,
  nlbManifests,
  printJson,
  printYaml,
} from './index.ts';
import { refusals } from './testdata/schema.ts';

const range = (text: string) => parsePrefix(text) ?? expect.fail(text);

const PLAIN: NlbOptions = {
  ...{
    cloud: 'aws',
    name: 'wireguard',
    image: 'registry.example.com/sallyport:0.1.0',
    workload: 'Deployment',
    replicas: 2,
  },
  ...{ link: 'wg0', secret: { name: 'wireguard-conf', key: 'wg0.conf', file: 'wg0.conf' }, keyFiles: [] },
  ...{ port: 443, listenPort: 51_820, healthPort: 9000, probePort: 9001, healthAddress: '0.0.0.0' },
  check: { protocol: 'TCP', intervalSeconds: 10, threshold: 3 },
  ...{ targets: 'ip', internal: false, sourceRanges: [], proberRanges: [], require: 'listening', masquerade: false },
  ...{ tun: { kind: 'none' }, unsafeSysctls: false, dns: { servers: [], searches: [] }, dialsOut: false },
};

/** All that the options may add, at once. */
const FULL: NlbOptions = {
  ...PLAIN,
  ...{ namespace: 'vpn', keyFiles: ['wg0.key'], require: 'any-handshake', masquerade: true, unsafeSysctls: true },
  ...{ secret: { name: 'keys', key: 'office', file: 'my files/office.conf' }, healthPort: 900, listenPort: 500 },
  ...{ sourceRanges: [range('203.0.113.0/24'), range('2001:db8::/32')], proberRanges: [range('10.0.0.0/8')] },
  ...{ dns: { servers: ['10.0.0.53'], searches: ['corp.example.com'] }, dialsOut: true },
};

const cloudNames = Object.keys(CLOUDS) as CloudName[];
const variants: readonly (readonly [string, NlbOptions])[] = cloudNames.flatMap((cloud) =>
  (['ip', 'instance'] as const)
    .filter((targets) => targets === 'ip' || cloud === 'aws')
    .flatMap((targets) =>
      (['TCP', 'HTTP'] as const).flatMap((protocol) =>
        (['Deployment', 'StatefulSet'] as const).flatMap((workload) =>
          ([PLAIN, FULL, { ...FULL, replicas: 1, internal: cloud !== 'metallb' }] as const).flatMap((base, which) =>
            ([{ kind: 'none' }, { kind: 'host' }, { kind: 'plugin', resource: 'squat.ai/tun' }] as const).map(
              (tun): readonly [string, NlbOptions] => [
                [cloud, targets, protocol, workload, ['plain', 'full', 'internal'][which], tun.kind].join(' '),
                {
                  ...{ ...base, cloud, targets, workload, tun, check: { ...base.check, protocol } },
                  ...(cloud === 'metallb' && which > 0 && { addressPool: 'public' }),
                },
              ],
            ),
          ),
        ),
      ),
    ),
);

type Tree = { readonly [key: string]: Tree } & readonly Tree[];
const list = (value: Tree | undefined): readonly Tree[] => value ?? expect.fail('no list');
const find = (objects: readonly KubernetesObject[], kind: string): Tree =>
  (objects.find((each) => each.kind === kind && !String((each as unknown as Tree).metadata?.name).endsWith('-pods')) ??
    expect.fail(`no ${kind}`)) as unknown as Tree;
const podOf = (objects: readonly KubernetesObject[], options: NlbOptions): Tree =>
  find(objects, options.workload).spec?.template?.spec as Tree;

describe("Kubernetes' published definitions", () => {
  test('nothing in any variant is refused', () => {
    expect(variants.length).toBeGreaterThan(200);
    const refused = variants.flatMap(([name, options]) =>
      nlbManifests(options).objects.flatMap((each) => refusals(each).map((what) => `${name}: ${what}`)),
    );
    expect(refused).toEqual([]);
  });

  test('a misspelt field is refused wherever it stands', () => {
    for (const object of nlbManifests({ ...FULL, workload: 'StatefulSet', tun: { kind: 'host' } }).objects)
      for (const { path, misspelt } of misspellings(object))
        expect(refusals(misspelt as KubernetesObject), path).not.toEqual([]);
  });

  test.each([
    ['a field left out', { spec: { ports: [{ name: 'a' }] } }, 'Service.spec.ports[0].port: required'],
    ['a number for a string', { spec: { selector: { a: 1 } } }, 'Service.spec.selector.a: 1 is no string'],
    ['a value that is none', { spec: { type: 'Loadbalancer' } }, 'Service.spec.type: "Loadbalancer" is none of'],
    ['a list for a map', { metadata: [] }, 'Service.metadata: no object'],
  ])('%s is refused', (_, body, what) =>
    expect(refusals({ apiVersion: 'v1', kind: 'Service', ...body })[0]).toContain(what),
  );
});

/** Maps whose keys are the user's own. */
const FREE = new Set(['labels', 'annotations', 'matchLabels', 'selector', 'limits', 'requests']);

/** The object with one field's name changed, for each field. */
function misspellings(object: unknown, path = ''): readonly { readonly path: string; readonly misspelt: unknown }[] {
  if (Array.isArray(object))
    return object.flatMap((each, index) =>
      misspellings(each, `${path}[${index}]`).map(({ path: at, misspelt }) => ({
        path: at,
        misspelt: object.with(index, misspelt),
      })),
    );
  if (typeof object !== 'object' || object === null) return [];
  return Object.entries(object).flatMap(([key, value]) => {
    const { [key]: _, ...others } = object as Record<string, unknown>;
    const inner = FREE.has(key) && !Object.hasOwn(value, 'matchLabels') ? [] : misspellings(value, `${path}.${key}`);
    return [
      { path: `${path}.${key}`, misspelt: { ...others, [`${key}s`]: value } },
      ...inner.map(({ path: at, misspelt }) => ({ path: at, misspelt: { ...others, [key]: misspelt } })),
    ];
  });
}

describe('the parts fit together', () => {
  test.each(variants)('%s', (_, options) => {
    const { objects } = nlbManifests(options);
    const workload = find(objects, options.workload);
    const labels = workload.spec?.template?.metadata?.labels;
    const pod = podOf(objects, options);
    const container = pod.containers?.[0] as unknown as {
      args: readonly string[];
      ports: readonly { name: string; containerPort: number; protocol: string }[];
      [probe: string]: unknown;
    };
    const service = find(objects, 'Service');
    const policy = find(objects, 'NetworkPolicy');
    for (const selector of [
      workload.spec?.selector?.matchLabels,
      service.spec?.selector,
      policy.spec?.podSelector?.matchLabels,
      find(objects, 'PodDisruptionBudget').spec?.selector?.matchLabels,
    ])
      expect(selector).toEqual(labels);
    expect(pod.serviceAccountName).toBe(find(objects, 'ServiceAccount').metadata?.name);
    // What the program listens at is what the ports, the policy and the probes say.
    const { tcp, http } = healthPortsOf(options);
    const listens = container.args.filter((each) => each.includes('://'));
    expect(listens).toEqual([...(tcp === undefined ? [] : [`tcp://0.0.0.0:${tcp}`]), `http://0.0.0.0:${http}`]);
    const numbers = container.ports.map(({ containerPort }) => containerPort);
    expect(numbers).toEqual([options.listenPort, ...(tcp === undefined ? [] : [tcp]), http]);
    expect(list(policy.spec?.ingress).flatMap(({ ports }) => list(ports).map(({ port }) => port))).toEqual(numbers);
    const names = new Set(container.ports.map(({ name }) => name));
    const asked = JSON.stringify([container.startupProbe, container.livenessProbe, container.readinessProbe, service]);
    for (const [, name] of asked.matchAll(/"(?:port|targetPort)":"([^"]+)"/g)) expect(names).toContain(name);
    // Nothing below 1024 without the setting that allows it.
    const sysctls = JSON.stringify(pod.securityContext);
    expect(sysctls.includes('ip_unprivileged_port_start')).toBe(numbers.some((each) => each < 1024));
    expect(sysctls.includes('src_valid_mark')).toBe(options.unsafeSysctls);
  });
});

describe('the least rights', () => {
  const { objects } = nlbManifests(PLAIN);
  const pod = podOf(objects, PLAIN);
  test('one capability, one folder in memory to write, no token', () => {
    expect(pod.containers?.[0]?.securityContext).toEqual({
      ...{ privileged: false, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
    });
    expect(pod.securityContext?.seccompProfile).toEqual({ type: 'RuntimeDefault' });
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(find(objects, 'ServiceAccount').automountServiceAccountToken).toBe(false);
    const writable = list(pod.containers?.[0]?.volumeMounts).filter(({ readOnly }) => String(readOnly) !== 'true');
    expect(writable.map(({ mountPath }) => mountPath)).toEqual(['/run']);
    expect(JSON.stringify(objects)).not.toMatch(/hostPath|hostNetwork|hostPID|sysctl/);
  });
  test('the probes ask by paths of their own', () => {
    const { startupProbe, livenessProbe, readinessProbe } = list(pod.containers)[0] ?? expect.fail('no container');
    const probes = [startupProbe, livenessProbe, readinessProbe];
    expect(probes.map((each) => each?.httpGet?.path)).toEqual(['/startupz', '/livez', '/readyz']);
  });
});

describe('a Service asks its balancer', () => {
  const service = (options: Partial<NlbOptions>) => find(nlbManifests({ ...PLAIN, ...options }).objects, 'Service');
  const annotations = (options: Partial<NlbOptions>) =>
    service(options).metadata?.annotations as unknown as { readonly [name: string]: string };
  const AWS = 'service.beta.kubernetes.io/aws-load-balancer-';
  test('AWS, pods: TCP at the health port, which has no listener of its own', () => {
    const asked = annotations({});
    expect(asked[`${AWS}nlb-target-type`]).toBe('ip');
    expect(asked[`${AWS}healthcheck-protocol`]).toBe('tcp');
    expect(asked[`${AWS}healthcheck-port`]).toBe('9000');
    expect(asked[`${AWS}healthcheck-path`]).toBeUndefined();
    expect(list(service({}).spec?.ports).map(({ protocol, port }) => `${port}/${protocol}`)).toEqual(['443/UDP']);
  });
  test('AWS, nodes: over HTTP at healthCheckNodePort, which TCP would find open always', () => {
    const asked = annotations({ targets: 'instance' });
    expect(asked[`${AWS}healthcheck-protocol`]).toBe('http');
    expect(asked[`${AWS}healthcheck-port`]).toBeUndefined();
    expect(service({ targets: 'instance' }).spec?.externalTrafficPolicy).toBe('Local');
  });
  test('DigitalOcean: a TCP port of the Service, as of UDP nothing can be asked', () => {
    expect(annotations({ cloud: 'digitalocean' })['service.beta.kubernetes.io/do-loadbalancer-healthcheck-port']).toBe(
      '9000',
    );
    const ports = list(service({ cloud: 'digitalocean' }).spec?.ports).map(
      ({ protocol, port }) => `${port}/${protocol}`,
    );
    expect(ports).toEqual(['443/UDP', '9000/TCP']);
  });
  test('MetalLB asks nobody: the kubelet asks over TCP', () => {
    const pod = podOf(nlbManifests({ ...PLAIN, cloud: 'metallb' }).objects, PLAIN);
    expect(pod.containers?.[0]?.readinessProbe?.tcpSocket).toEqual({ port: 'health' });
  });
  test('where the pod does not see clients, its NetworkPolicy tells none apart; the balancer does', () => {
    const options = { ...PLAIN, sourceRanges: [range('203.0.113.0/24')] };
    for (const cloud of cloudNames) {
      const { objects } = nlbManifests({ ...options, cloud });
      expect(find(objects, 'Service').spec?.loadBalancerSourceRanges).toEqual(['203.0.113.0/24']);
      const from = find(objects, 'NetworkPolicy').spec?.ingress?.[0]?.from;
      expect(from).toEqual(CLOUDS[cloud].keepsClient ? [{ ipBlock: { cidr: '203.0.113.0/24' } }] : undefined);
    }
  });
  test('each annotation has a source, and it stands beside it', () => {
    for (const cloud of cloudNames) {
      const { objects, sources, notes } = nlbManifests({ ...FULL, cloud, healthPort: 9000 });
      const names = Object.keys((find(objects, 'Service').metadata?.annotations ?? {}) as object);
      expect([...sources.keys()]).toEqual(names);
      const lines = printYaml(objects, notes, sources).split('\n');
      for (const name of sources.keys())
        expect(lines.find((line) => line.trimStart().startsWith(`${name}: `))).toMatch(/ # https:\/\//);
      for (const source of sources.values()) expect(source).toMatch(/^https:\/\/\S+$/);
    }
  });
});

describe('as text', () => {
  test('YAML and JSON say the same, to a reader of YAML 1.1 too', () => {
    const { objects, sources, notes } = nlbManifests({ ...FULL, name: 'on', namespace: 'yes' });
    const yaml = printYaml(objects, notes, sources);
    for (const version of ['1.1', '1.2'] as const) {
      const read = parseAllDocuments(yaml, { version }).map((each) => each.toJS());
      expect(read).toEqual(objects);
    }
    expect(JSON.parse(printJson(objects))).toEqual({ apiVersion: 'v1', kind: 'List', items: objects });
  });
  test('the command for the Secret can be pasted', () => {
    const { notes } = nlbManifests(FULL);
    expect(notes[0]).toContain(
      "kubectl create secret generic keys -n vpn '--from-file=office=my files/office.conf' --from-file=wg0.key",
    );
  });
});

describe('with peers that are dialled', () => {
  test('one pod is gone before the next begins; more are warned of', () => {
    const dialled = nlbManifests({ ...PLAIN, dialsOut: true, replicas: 1 });
    expect(find(dialled.objects, 'Deployment').spec?.strategy).toEqual({ type: 'Recreate' });
    expect(dialled.notes.join('\n')).not.toContain('Endpoint');
    expect(nlbManifests({ ...PLAIN, dialsOut: true }).notes.join('\n')).toContain('2 pods with one key');
  });
});
