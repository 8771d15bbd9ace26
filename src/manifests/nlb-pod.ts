/** The pod that runs `sallyport wireguard run`, with the least rights that it can do with. */
import { CLOUDS } from './clouds.ts';
import type { Json } from './kubernetes.ts';
import type { NlbOptions } from './nlb-options.ts';

/** Where the Secret's files lie in the pod. */
export const CONF_FOLDER = '/etc/wireguard';

/** The first port that needs no capability (ip_unprivileged_port_start). */
const FIRST_UNPRIVILEGED = 1024;

/** Traffic goes on for so long after the pod was told to go, while balancer and kube-proxy learn of it. Seconds. */
const LINGER_SECONDS = 20;

export const labelsOf = ({ name }: NlbOptions): { readonly [label: string]: string } => ({
  'app.kubernetes.io/name': name,
  'app.kubernetes.io/component': 'wireguard',
});

/** Who asks the health port: by TCP the port itself tells, and the kubelet, whose probes have paths, needs another one. */
export interface HealthPorts {
  readonly tcp?: number;
  readonly http: number;
}

export function healthPortsOf(options: NlbOptions): HealthPorts {
  const asked = CLOUDS[options.cloud].asks(options);
  if (options.check.protocol === 'HTTP' || asked === 'node') return { http: options.healthPort };
  return { tcp: options.healthPort, http: options.probePort };
}

export function podTemplate(options: NlbOptions): { readonly [key: string]: Json } {
  const { name, image, dns, workload } = options;
  const sysctls = sysctlsOf(options);
  return {
    metadata: { labels: labelsOf(options) },
    spec: {
      serviceAccountName: name,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: {
        // The kubelet gives a capability to no other user than root (no ambient capabilities).
        runAsUser: 0,
        runAsGroup: 0,
        seccompProfile: { type: 'RuntimeDefault' },
        ...(sysctls.length > 0 && { sysctls }),
      },
      terminationGracePeriodSeconds: LINGER_SECONDS + 15,
      ...(dns.servers.length > 0 && {
        dnsPolicy: 'None',
        dnsConfig: { nameservers: dns.servers, ...(dns.searches.length > 0 && { searches: dns.searches }) },
      }),
      topologySpreadConstraints: ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'].map((topologyKey) => ({
        ...{ maxSkew: 1, topologyKey, whenUnsatisfiable: 'ScheduleAnyway' },
        labelSelector: { matchLabels: labelsOf(options) },
        // Pods of the version before are on their way out.
        ...(workload === 'Deployment' && { matchLabelKeys: ['pod-template-hash'] }),
      })),
      containers: [container(options, image)],
      volumes: volumesOf(options),
    },
  };
}

function container(options: NlbOptions, image: string): Json {
  const { listenPort, tun } = options;
  const ports = healthPortsOf(options);
  return {
    name: 'wireguard',
    image,
    command: ['sallyport'],
    args: argumentsOf(options, ports),
    ports: [
      { name: 'wireguard', containerPort: listenPort, protocol: 'UDP' },
      ...(ports.tcp === undefined ? [] : [{ name: 'health', containerPort: ports.tcp, protocol: 'TCP' }]),
      { name: 'probes', containerPort: ports.http, protocol: 'TCP' },
    ],
    securityContext: {
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
    },
    // The tunnel came up once; this process goes round; the tunnel is well.
    startupProbe: { ...http('/startupz'), periodSeconds: 2, failureThreshold: 60 },
    livenessProbe: { ...http('/livez'), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    readinessProbe: { ...readiness(options, ports), periodSeconds: 5, timeoutSeconds: 3, failureThreshold: 2 },
    resources: {
      requests: { cpu: '50m', memory: '96Mi' },
      limits: { memory: '256Mi', ...(tun.kind === 'plugin' && { [tun.resource]: '1' }) },
    },
    lifecycle: { preStop: { exec: { command: ['sleep', String(LINGER_SECONDS)] } } },
    volumeMounts: [
      { name: 'conf', mountPath: CONF_FOLDER, readOnly: true },
      // All that is written: the socket by which wg talks to wireguard-go, and outputs of commands until they are read.
      { name: 'run', mountPath: '/run' },
      ...(tun.kind === 'host' ? [{ name: 'tun', mountPath: '/dev/net/tun' }] : []),
    ],
  };
}

function argumentsOf({ link, healthAddress, require, masquerade }: NlbOptions, { tcp, http }: HealthPorts): Json {
  const at = (port: number): string => `${healthAddress.includes(':') ? `[${healthAddress}]` : healthAddress}:${port}`;
  return [
    ...['wireguard', 'run', `${CONF_FOLDER}/${link}.conf`],
    ...(tcp === undefined ? [] : ['--health-listen', `tcp://${at(tcp)}`]),
    ...['--health-listen', `http://${at(http)}`],
    ...(require === 'listening' ? [] : ['--require', require]),
    ...(masquerade ? ['--masquerade'] : []),
  ];
}

const http = (path: string): { readonly httpGet: Json } => ({ httpGet: { path, port: 'probes' } });

/** Where no balancer asks the health port the kubelet does, as one would. */
const readiness = (options: NlbOptions, { tcp }: HealthPorts): { readonly [key: string]: Json } =>
  tcp !== undefined && CLOUDS[options.cloud].asks(options) === 'nobody'
    ? { tcpSocket: { port: 'health' } }
    : http('/readyz');

function volumesOf({ secret, link, keyFiles, tun }: NlbOptions): Json {
  return [
    {
      name: 'conf',
      secret: {
        secretName: secret.name,
        // 0400; YAML and JSON have no octal that both read alike.
        defaultMode: 0o400,
        items: [{ key: secret.key, path: `${link}.conf` }, ...keyFiles.map((file) => ({ key: file, path: file }))],
      },
    },
    { name: 'run', emptyDir: { medium: 'Memory', sizeLimit: '16Mi' } },
    ...(tun.kind === 'host' ? [{ name: 'tun', hostPath: { path: '/dev/net/tun', type: 'CharDevice' } }] : []),
  ];
}

interface Sysctl {
  readonly name: string;
  readonly value: string;
  readonly [key: string]: Json;
}

/** One of the safe set where a port needs it; others only where the kubelet is known to allow them. */
function sysctlsOf(options: NlbOptions): readonly Sysctl[] {
  const { tcp, http } = healthPortsOf(options);
  const needsLow = [options.listenPort, tcp ?? http, http].some((port) => port < FIRST_UNPRIVILEGED);
  return [
    ...(needsLow ? [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }] : []),
    ...(options.unsafeSysctls ? unsafeSysctls(options).map((name) => ({ name, value: '1' })) : []),
  ];
}

/** Without them `wireguard run` does what it can: it says so, and tells answers apart by their addresses. */
export const unsafeSysctls = ({ masquerade }: Pick<NlbOptions, 'masquerade'>): readonly string[] => [
  'net.ipv4.conf.all.src_valid_mark',
  ...(masquerade ? ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'] : []),
];
