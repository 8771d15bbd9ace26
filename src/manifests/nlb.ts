/** WireGuard in Kubernetes behind a load balancer that checks health over TCP alone. */
import { printPrefix } from '../net/index.ts';
import { printCommand } from '../verify/index.ts';
import { CLOUDS } from './clouds.ts';
import type { Json, KubernetesObject } from './kubernetes.ts';
import type { NlbOptions } from './nlb-options.ts';
import { healthPortsOf, labelsOf, podTemplate, unsafeSysctls } from './nlb-pod.ts';

export interface Manifests {
  readonly objects: readonly KubernetesObject[];
  /** Annotation to the page that says what it takes. */
  readonly sources: ReadonlyMap<string, string>;
  /** What must be done or known before they are applied, a line each. */
  readonly notes: readonly string[];
}

/** All objects, in the order in which they are needed. The tunnel's file itself is a Secret that is only named. */
export function nlbManifests(options: NlbOptions): Manifests {
  const annotations = CLOUDS[options.cloud].annotations(options);
  return {
    objects: [
      object(options, 'v1', 'ServiceAccount', { automountServiceAccountToken: false }),
      networkPolicy(options),
      ...(options.workload === 'StatefulSet' ? [governingService(options)] : []),
      workload(options),
      disruptionBudget(options),
      balancer(options, Object.fromEntries(annotations.map(({ name, value }) => [name, value]))),
    ],
    sources: new Map(annotations.map(({ name, source }) => [name, source])),
    notes: notesOf(options),
  };
}

/** With what all have; `suffix` tells one of a kind from another. */
function object(
  options: NlbOptions,
  apiVersion: string,
  kind: string,
  body: { readonly [key: string]: Json },
  {
    suffix = '',
    annotations,
  }: { readonly suffix?: string; readonly annotations?: { readonly [name: string]: string } } = {},
): KubernetesObject {
  const { name, namespace } = options;
  return {
    apiVersion,
    kind,
    metadata: {
      name: `${name}${suffix}`,
      ...(namespace !== undefined && { namespace }),
      labels: labelsOf(options),
      ...(annotations !== undefined && Object.keys(annotations).length > 0 && { annotations }),
    },
    ...body,
  };
}

const selector = (options: NlbOptions): Json => ({ matchLabels: labelsOf(options) });

function workload(options: NlbOptions): KubernetesObject {
  const { check, replicas, dialsOut } = options;
  const common = {
    replicas,
    // A rollout goes on no faster than the balancer learns of a new pod.
    minReadySeconds: options.cloud === 'metallb' ? 5 : check.intervalSeconds * check.threshold,
    selector: selector(options),
  };
  const template = podTemplate(options);
  if (options.workload === 'StatefulSet')
    return object(options, 'apps/v1', 'StatefulSet', {
      spec: {
        ...common,
        serviceName: `${options.name}-pods`,
        podManagementPolicy: 'Parallel',
        updateStrategy: { type: 'RollingUpdate' },
        template,
      },
    });
  // Two pods with one key that both dial out would take the session from each other.
  const strategy: Json =
    dialsOut && replicas === 1
      ? { type: 'Recreate' }
      : { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } };
  return object(options, 'apps/v1', 'Deployment', { spec: { ...common, strategy, template } });
}

/** Gives each pod of a StatefulSet a name of its own. */
const governingService = (options: NlbOptions): KubernetesObject =>
  object(
    options,
    'v1',
    'Service',
    {
      spec: {
        clusterIP: 'None',
        selector: labelsOf(options),
        ports: [{ name: 'wireguard', protocol: 'UDP', port: options.listenPort, targetPort: 'wireguard' }],
      },
    },
    { suffix: '-pods' },
  );

function balancer(options: NlbOptions, annotations: { readonly [name: string]: string }): KubernetesObject {
  const { port, healthPort, sourceRanges } = options;
  const asked = CLOUDS[options.cloud].asks(options);
  const { tcp } = healthPortsOf(options);
  return object(
    options,
    'v1',
    'Service',
    {
      spec: {
        type: 'LoadBalancer',
        // Cluster would send on from nodes that have no pod, from the node's address, and healthy nodes would be all of them.
        externalTrafficPolicy: asked === 'pod' ? 'Cluster' : 'Local',
        ...(asked === 'pod' ? { allocateLoadBalancerNodePorts: false } : { sessionAffinity: 'ClientIP' }),
        ...(sourceRanges.length > 0 && { loadBalancerSourceRanges: sourceRanges.map(printPrefix) }),
        selector: labelsOf(options),
        ports: [
          { name: 'wireguard', protocol: 'UDP', port, targetPort: 'wireguard' },
          ...(asked === 'service'
            ? [
                {
                  ...{ name: 'health', protocol: 'TCP', port: healthPort },
                  targetPort: tcp === undefined ? 'probes' : 'health',
                },
              ]
            : []),
        ],
      },
    },
    { annotations },
  );
}

const disruptionBudget = (options: NlbOptions): KubernetesObject =>
  object(options, 'policy/v1', 'PodDisruptionBudget', {
    // A pod that is not well holds up no drain.
    spec: { maxUnavailable: 1, unhealthyPodEvictionPolicy: 'AlwaysAllow', selector: selector(options) },
  });

/** What comes in: WireGuard from clients, health from probers. What goes out is for the tunnel's file to say. */
function networkPolicy(options: NlbOptions): KubernetesObject {
  const { listenPort, sourceRanges, proberRanges } = options;
  const { tcp, http } = healthPortsOf(options);
  const from = (ranges: NlbOptions['sourceRanges']): { readonly [key: string]: Json } =>
    ranges.length === 0 ? {} : { from: ranges.map((each) => ({ ipBlock: { cidr: printPrefix(each) } })) };
  return object(options, 'networking.k8s.io/v1', 'NetworkPolicy', {
    spec: {
      podSelector: selector(options),
      policyTypes: ['Ingress'],
      ingress: [
        {
          ...from(CLOUDS[options.cloud].keepsClient ? sourceRanges : []),
          ports: [{ protocol: 'UDP', port: listenPort }],
        },
        {
          ...from(proberRanges),
          ports: [...new Set([tcp ?? http, http])].map((port) => ({ protocol: 'TCP', port })),
        },
      ],
    },
  });
}

function notesOf(options: NlbOptions): readonly string[] {
  const { namespace, secret, keyFiles, tun, replicas, dialsOut } = options;
  const isNamedSo = secret.file === secret.key || secret.file.endsWith(`/${secret.key}`);
  const files = [isNamedSo ? secret.file : `${secret.key}=${secret.file}`, ...keyFiles];
  const secretCommand = printCommand([
    ...['kubectl', 'create', 'secret', 'generic', secret.name],
    ...(namespace === undefined ? [] : ['-n', namespace]),
    ...files.map((each) => `--from-file=${each}`),
  ]);
  return [
    `the tunnel's file is a Secret: ${secretCommand}`,
    `NET_ADMIN is more than Pod Security's baseline: kubectl label namespace ${namespace ?? 'NAMESPACE'} pod-security.kubernetes.io/enforce=privileged`,
    tun.kind === 'none'
      ? 'the nodes need WireGuard in their kernel (Linux 5.6 or newer): where it is missing, --tun gives the pod /dev/net/tun for wireguard-go'
      : '/dev/net/tun of the node is for wireguard-go: the container runtime must let the pod open it (runc does, but for 1.2.0 to 1.2.3)',
    options.unsafeSysctls
      ? `each kubelet must allow: --allowed-unsafe-sysctls=${unsafeSysctls(options).join(',')}`
      : 'no sysctl that a kubelet would refuse is asked for; where rp_filter is strict, answers are told apart by their address (--unsafe-sysctls asks for src_valid_mark)',
    ...(dialsOut && replicas > 1
      ? [`a peer has an Endpoint: ${replicas} pods with one key would dial it, each taking the session from the others`]
      : []),
    ...CLOUDS[options.cloud].notes.map(({ text, source }) => `${text} (${source})`),
  ];
}
