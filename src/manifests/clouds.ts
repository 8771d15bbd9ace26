/** The load balancers of clouds, for UDP that is checked over TCP. Names and values are those of their own documentation, which stands beside each. */
import type { Annotation, Cloud, CloudAsk, UnfitCloud } from './cloud.ts';

const LBC = 'https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/service/annotations/';
const NLB = 'https://docs.aws.amazon.com/elasticloadbalancing/latest/network/';
const GKE = 'https://cloud.google.com/kubernetes-engine/docs/concepts/service-load-balancer-parameters';
const AZURE = 'https://cloud-provider-azure.sigs.k8s.io/topics/loadbalancer/';
const DIGITALOCEAN = 'https://docs.digitalocean.com/products/kubernetes/how-to/configure-load-balancers/';
const OVH =
  'https://github.com/ovh/docs/blob/develop/pages/public_cloud/containers_orchestration/managed_kubernetes/expose_your_applications_using_a_load_balancer/guide.en-gb.md';
const OPENSTACK =
  'https://github.com/kubernetes/cloud-provider-openstack/blob/master/docs/openstack-cloud-controller-manager/expose-applications-using-loadbalancer-type-service.md';
const METALLB = 'https://metallb.io/usage/';
const HCLOUD = 'https://github.com/hetznercloud/hcloud-cloud-controller-manager/issues/252';

/** Annotations of one controller: they begin alike, and its page has an anchor for each where `anchors` says so. */
const named =
  (prefix: string, page: string) =>
  (name: string, value: string | number, anchor = ''): Annotation => ({
    ...{ name: `${prefix}${name}`, value: String(value), source: `${page}${anchor && `#${anchor}`}` },
  });

const aws = named('service.beta.kubernetes.io/aws-load-balancer-', LBC);
const gke = named('', GKE);
const azure = named('service.beta.kubernetes.io/azure-load-balancer-', AZURE);
const digitalocean = named('service.beta.kubernetes.io/do-loadbalancer-', DIGITALOCEAN);
const ovh = named('loadbalancer.ovhcloud.com/', OVH);
const openstack = named('loadbalancer.openstack.org/', OPENSTACK);

const AWS: Cloud = {
  title: 'AWS: Network Load Balancer by the AWS Load Balancer Controller',
  asks: ({ targets }) => (targets === 'ip' ? 'pod' : 'node'),
  keepsClient: true,
  annotations: ({ check, healthPort, targets, internal }) => [
    aws('type', 'external', 'lb-type'),
    aws('nlb-target-type', targets, 'nlb-target-type'),
    aws('scheme', internal ? 'internal' : 'internet-facing', 'lb-scheme'),
    ...(targets === 'ip'
      ? [
          aws('healthcheck-protocol', check.protocol.toLowerCase(), 'healthcheck-protocol'),
          aws('healthcheck-port', healthPort, 'healthcheck-port'),
          ...(check.protocol === 'HTTP' ? [aws('healthcheck-path', '/readyz', 'healthcheck-path')] : []),
        ]
      : // externalTrafficPolicy Local: the port is healthCheckNodePort unless named, and TCP is not to be asked for there.
        [
          aws('healthcheck-protocol', 'http', 'healthcheck-protocol'),
          aws('healthcheck-path', '/healthz', 'healthcheck-path'),
        ]),
    aws('healthcheck-interval', check.intervalSeconds, 'healthcheck-interval'),
    aws('healthcheck-healthy-threshold', check.threshold, 'healthcheck-healthy-threshold'),
    aws('healthcheck-unhealthy-threshold', check.threshold, 'healthcheck-unhealthy-threshold'),
    // For UDP the client's address is kept anyway, and cannot be given up: said so that nobody asks for the other.
    aws(
      'target-group-attributes',
      'preserve_client_ip.enabled=true,stickiness.enabled=true,stickiness.type=source_ip,deregistration_delay.timeout_seconds=30,deregistration_delay.connection_termination.enabled=true',
      'target-group-attributes',
    ),
  ],
  notes: [
    {
      text: 'of UDP the client address is always kept, by ip and instance targets alike',
      source: `${NLB}edit-target-group-attributes.html`,
    },
    {
      text: 'ip targets need pods with addresses of the VPC; a namespace labelled elbv2.k8s.aws/pod-readiness-gate-inject=enabled makes a rollout wait for the balancer',
      source: 'https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/deploy/pod_readiness_gate/',
    },
  ],
};

const GOOGLE: Cloud = {
  title: 'Google: passthrough Network Load Balancer of GKE',
  asks: () => 'node',
  keepsClient: true,
  annotations: ({ internal }) => [
    internal ? gke('networking.gke.io/load-balancer-type', 'Internal') : gke('cloud.google.com/l4-rbs', 'enabled'),
  ],
  notes: [
    {
      text: 'GKE makes the check itself: how often it asks is not to be set in a Service',
      source: 'https://cloud.google.com/kubernetes-engine/docs/concepts/service-load-balancer',
    },
  ],
};

/** "total probe should be less than 120 seconds" */
const AZURE_MOST_SECONDS = 120;

const AZURE_CLOUD: Cloud = {
  title: 'Azure: Standard Load Balancer by cloud-provider-azure',
  asks: () => 'node',
  keepsClient: true,
  annotations: ({ check, internal }) => [
    ...(internal ? [azure('internal', 'true')] : []),
    azure('health-probe-interval', check.intervalSeconds, 'custom-load-balancer-health-probe'),
    azure('health-probe-num-of-probe', check.threshold, 'custom-load-balancer-health-probe'),
  ],
  problem: ({ check: { intervalSeconds, threshold } }) =>
    intervalSeconds * threshold < AZURE_MOST_SECONDS
      ? undefined
      : `Azure takes an interval and a threshold that come to less than ${AZURE_MOST_SECONDS} s, not ${intervalSeconds} s x ${threshold}`,
  notes: [
    {
      text: 'with externalTrafficPolicy: Cluster a UDP port has no check at all: keep Local',
      source: `${AZURE}#custom-load-balancer-health-probe`,
    },
  ],
};

const DIGITALOCEAN_CLOUD: Cloud = {
  title: 'DigitalOcean: load balancer of DOKS',
  asks: () => 'service',
  keepsClient: false,
  annotations: ({ check, healthPort, internal }) => [
    ...(internal ? [digitalocean('network', 'INTERNAL', 'internal-load-balancer')] : []),
    digitalocean('override-health-check', 'true', 'override-health-check'),
    digitalocean('healthcheck-port', healthPort, 'port'),
    digitalocean('healthcheck-protocol', check.protocol.toLowerCase(), 'protocol-1'),
    ...(check.protocol === 'HTTP' ? [digitalocean('healthcheck-path', '/readyz', 'path')] : []),
    digitalocean('healthcheck-check-interval-seconds', check.intervalSeconds, 'interval'),
    digitalocean('healthcheck-healthy-threshold', check.threshold, 'threshold'),
    digitalocean('healthcheck-unhealthy-threshold', check.threshold, 'threshold'),
  ],
  notes: [
    {
      text: 'a balancer with a UDP port must check a TCP port that the Service has, so the health port is reached from outside too',
      source: `${DIGITALOCEAN}#protocol-1`,
    },
    {
      text: 'the balancer is a proxy: the pod does not see the client address',
      source: `${DIGITALOCEAN}#external-traffic-policies-and-health-checks`,
    },
  ],
};

const OVH_CLOUD: Cloud = {
  title: 'OVHcloud: Public Cloud Load Balancer (Octavia) of Managed Kubernetes',
  asks: () => 'node',
  keepsClient: false,
  annotations: ({ check, internal }) => [
    ovh('class', 'octavia'),
    ...(internal
      ? [{ name: 'service.beta.kubernetes.io/openstack-internal-load-balancer', value: 'true', source: OPENSTACK }]
      : []),
    openstack('enable-health-monitor', 'true'),
    openstack('health-monitor-delay', check.intervalSeconds),
    openstack('health-monitor-timeout', Math.min(5, check.intervalSeconds - 1)),
    openstack('health-monitor-max-retries', check.threshold),
    openstack('health-monitor-max-retries-down', check.threshold),
  ],
  notes: [
    {
      text: 'the older class iolb carries TCP alone',
      source:
        'https://help.ovhcloud.com/csm/en-public-cloud-kubernetes-migrate-iolb-to-public-cloud-loadbalancer?id=kb_article_view&sysparm_article=KB0066721',
    },
    {
      text: 'Octavia before API 2.16 asks a UDP pool by UDP-CONNECT: it then sees that a node has no ready pod, by the refusal, and nothing finer',
      source: 'https://github.com/kubernetes/cloud-provider-openstack/blob/master/pkg/openstack/loadbalancer.go',
    },
  ],
};

const METALLB_CLOUD: Cloud = {
  title: 'MetalLB',
  asks: () => 'nobody',
  keepsClient: true,
  annotations: ({ addressPool }) =>
    addressPool === undefined ? [] : [{ name: 'metallb.io/address-pool', value: addressPool, source: METALLB }],
  problem: ({ internal }) => (internal ? '--internal: the address pool decides that with MetalLB' : undefined),
  notes: [
    {
      text: 'MetalLB asks nobody: a node without a ready pod is no target, and the readiness probe asks the health port over TCP',
      source: `${METALLB}#traffic-policies`,
    },
  ],
};

export const CLOUDS = {
  aws: AWS,
  google: GOOGLE,
  azure: AZURE_CLOUD,
  digitalocean: DIGITALOCEAN_CLOUD,
  ovh: OVH_CLOUD,
  metallb: METALLB_CLOUD,
} as const satisfies Readonly<Record<string, Cloud>>;
export type CloudName = keyof typeof CLOUDS;

export const UNFIT_CLOUDS = {
  hetzner: {
    title: 'Hetzner Cloud: Load Balancer',
    unfit: "Hetzner's load balancers forward TCP, HTTP and HTTPS, and no UDP, which is all that WireGuard speaks",
    instead: '--cloud metallb with an address of a node, or a slim edge in front (docs/guide-slim-edge.md)',
    source: HCLOUD,
  },
} as const satisfies Readonly<Record<string, UnfitCloud>>;

export const isCloud = (name: string): name is CloudName => Object.hasOwn(CLOUDS, name);

/** What a cloud gets where nothing is asked for: for the guide's table. */
export const PLAIN_ASK: CloudAsk = {
  check: { protocol: 'TCP', intervalSeconds: 10, threshold: 3 },
  ...{ healthPort: 9000, targets: 'ip', internal: false },
};
