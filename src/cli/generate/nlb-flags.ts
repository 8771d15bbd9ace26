/** What `generate nlb` is asked for, by flags and a wg-quick file, made into options; whatever is wrong is a UsageError or InputProblems. */
import { posix } from 'node:path';
import {
  CLOUDS,
  type CloudName,
  CONF_FOLDER,
  healthPortsOf,
  isCloud,
  type NlbOptions,
  UNFIT_CLOUDS,
} from '../../manifests/index.ts';
import { type Prefix, parseAddress, parsePrefix, printAddress } from '../../net/index.ts';
import { nearest } from '../../resources/index.ts';
import type { QuickFile } from '../../wireguard/index.ts';
import { UsageError } from '../exit.ts';
import { linkOfFile, readConf } from '../wireguard/conf.ts';
import { readPolicy } from '../wireguard/health.ts';
import { leftOut } from '../wireguard/hooks.ts';

export interface GenerateNlbFlags {
  readonly output: 'yaml' | 'json';
  readonly image: string;
  readonly cloud: string;
  readonly name: string;
  readonly namespace?: string;
  readonly workload: NlbOptions['workload'];
  readonly replicas: number;
  readonly port?: number;
  readonly listenPort?: number;
  readonly healthPort: number;
  readonly probePort: number;
  readonly healthAddress: string;
  readonly healthProtocol: 'TCP' | 'HTTP';
  /** Milliseconds. */
  readonly healthInterval: number;
  readonly healthThreshold: number;
  readonly require: string;
  readonly targets: NlbOptions['targets'];
  readonly internal?: boolean;
  readonly addressPool?: string;
  readonly sourceRange?: readonly string[];
  readonly proberRange?: readonly string[];
  readonly secret?: string;
  readonly masquerade?: boolean;
  readonly tun: string;
  readonly unsafeSysctls?: boolean;
}

export interface AskedNlb {
  readonly options: NlbOptions;
  /** What of the file does not come into force in a pod, a sentence each. */
  readonly warnings: readonly string[];
}

/** wg-quick's own, where no file says another. */
const USUAL_PORT = 51_820;
/** Of a StatefulSet's pods the label of their version has the name and eleven letters more, and 63 are room for a label. */
const LONGEST_NAME = 52;

export function readNlbFlags(conf: string | undefined, flags: GenerateNlbFlags): AskedNlb {
  const cloud = readCloud(flags.cloud);
  const link = conf === undefined ? 'wg0' : linkOfFile(conf);
  const file = conf === undefined ? undefined : readConf(conf);
  const listenPort = listenPortOf(conf, file, flags.listenPort);
  const name = label('--name', flags.name, LONGEST_NAME);
  const [secretName = '', secretKey] = (flags.secret ?? `${name}-conf`).split('/');
  readPolicy(flags.require);
  const options: NlbOptions = {
    ...{ cloud, name, link, listenPort, workload: flags.workload, replicas: flags.replicas },
    ...(flags.namespace !== undefined && { namespace: label('--namespace', flags.namespace, 63) }),
    image: image(flags.image),
    secret: {
      name: label('--secret', secretName, 253),
      key:
        secretKey === undefined ? `${link}.conf` : matching('--secret', secretKey, /^[-._a-zA-Z0-9]{1,253}$/, 'a key'),
      file: conf ?? `${link}.conf`,
    },
    keyFiles: file === undefined ? [] : keyFilesOf(conf ?? '', file),
    port: flags.port ?? listenPort,
    ...{ healthPort: flags.healthPort, probePort: flags.probePort, healthAddress: address(flags.healthAddress) },
    check: check(flags),
    ...{ targets: flags.targets, internal: flags.internal === true, require: flags.require },
    ...(flags.addressPool !== undefined && { addressPool: label('--address-pool', flags.addressPool, 253) }),
    sourceRanges: prefixes('--source-range', flags.sourceRange),
    proberRanges: prefixes('--prober-range', flags.proberRange),
    ...{ masquerade: flags.masquerade === true, unsafeSysctls: flags.unsafeSysctls === true, tun: tun(flags.tun) },
    dns: {
      servers: (file?.interface.dns ?? []).map(printAddress),
      searches: file?.interface.searchDomains ?? [],
    },
    dialsOut: file?.peers.some(({ endpoint }) => endpoint !== undefined) === true,
  };
  refuseContradictions(options);
  return { options, warnings: file === undefined ? [] : warningsOf(conf ?? '', file) };
}

function readCloud(text: string): CloudName {
  if (isCloud(text)) return text;
  const unfit = Object.entries(UNFIT_CLOUDS).find(([name]) => name === text)?.[1];
  if (unfit !== undefined)
    throw new UsageError(`--cloud ${text}: ${unfit.unfit} (${unfit.source}); instead: ${unfit.instead}`);
  const names = Object.keys(CLOUDS);
  const near = nearest(text, [...names, ...Object.keys(UNFIT_CLOUDS)]);
  throw new UsageError(
    `--cloud ${text}: there are ${names.join(', ')}${near === undefined ? '' : `; did you mean "${near}"?`}`,
  );
}

/** A balancer's port must be known beforehand: `ListenPort` left out is one by chance. */
function listenPortOf(conf: string | undefined, file: QuickFile | undefined, flag: number | undefined): number {
  if (file === undefined) return flag ?? USUAL_PORT;
  const { listenPort = 0 } = file.interface;
  if (listenPort === 0)
    throw new UsageError(
      `${conf}: [Interface] has no ListenPort, and would get one by chance: ListenPort = ${USUAL_PORT}`,
    );
  if (flag !== undefined && flag !== listenPort)
    throw new UsageError(`--listen-port ${flag}: ${conf} says ListenPort = ${listenPort}; --port is the balancer's`);
  return listenPort;
}

/** The names of files of keys. Only what lies beside the tunnel's file can come out of its Secret. */
function keyFilesOf(conf: string, { interface: own, peers }: QuickFile): readonly string[] {
  if (own.privateKey === undefined) throw new UsageError(`${conf}: [Interface] has no PrivateKey`);
  const sources = [own.privateKey, ...peers.flatMap(({ presharedKey }) => presharedKey ?? [])];
  const paths = new Set(sources.flatMap((each) => (each.kind === 'file' ? [each.path] : [])));
  return [...paths].map((path) => {
    if (posix.dirname(path) === CONF_FOLDER) return posix.basename(path);
    throw new UsageError(
      `${conf}: the key in ${path}: in the pod the Secret's files lie in ${CONF_FOLDER}, so name it there`,
    );
  });
}

/** Seconds and counts that every balancer takes: the narrowest of their ranges. */
function check(flags: GenerateNlbFlags): NlbOptions['check'] {
  const intervalSeconds = flags.healthInterval / 1_000;
  if (!Number.isInteger(intervalSeconds) || intervalSeconds < 5 || intervalSeconds > 300)
    throw new UsageError(`--health-interval ${intervalSeconds}s: whole seconds from 5 to 300, as balancers take them`);
  const threshold = flags.healthThreshold;
  if (threshold < 2 || threshold > 10) throw new UsageError(`--health-threshold ${threshold}: 2 to 10`);
  return { protocol: flags.healthProtocol, intervalSeconds, threshold };
}

/** What none of the flags alone shows. */
function refuseContradictions(options: NlbOptions): void {
  const { cloud, healthPort, port, probePort, targets, addressPool } = options;
  const { tcp } = healthPortsOf(options);
  const { asks, problem } = CLOUDS[cloud];
  const wrong =
    tcp !== undefined && probePort === healthPort
      ? `--probe-port ${probePort}: the balancer's health port, which speaks TCP alone; another one, or --health-protocol HTTP`
      : targets === 'instance' && cloud !== 'aws'
        ? `--targets instance: only AWS knows that, not ${cloud}`
        : addressPool !== undefined && cloud !== 'metallb'
          ? `--address-pool: only MetalLB knows that, not ${cloud}`
          : asks(options) === 'service' && port === healthPort
            ? `--health-port ${healthPort}: the balancer has UDP there, and one port cannot be both with ${cloud}`
            : problem?.(options);
  if (wrong !== undefined) throw new UsageError(wrong);
}

function warningsOf(conf: string, file: QuickFile): readonly string[] {
  return [
    ...leftOut(file),
    ...(file.interface.saveConfig ? ['SaveConfig: a Secret is read-only in a pod, nothing is saved'] : []),
  ].map((each) => `${conf}: ${each}`);
}

/** A DNS label, as names of Services are (RFC 1035: a letter first). */
const label = (flag: string, text: string, longest: number): string =>
  text.length <= longest
    ? matching(
        flag,
        text,
        /^[a-z]([-a-z0-9]*[a-z0-9])?$/,
        'lower-case letters, digits and inner hyphens, a letter first',
      )
    : matching(flag, text, /^$/, `at most ${longest} characters`);

const image = (text: string): string =>
  matching('--image', text, /^[a-z0-9][a-zA-Z0-9._:/@-]*$/, 'an image, as registry.example.com/sallyport:0.1.0');

function matching(flag: string, text: string, pattern: RegExp, meant: string): string {
  if (pattern.test(text)) return text;
  throw new UsageError(`${flag} ${JSON.stringify(text)}: ${meant}`);
}

function address(text: string): string {
  const found = parseAddress(text);
  if (found === undefined) throw new UsageError(`--health-address ${text}: 0.0.0.0, or :: in a cluster of IPv6`);
  return printAddress(found);
}

const prefixes = (flag: string, texts: readonly string[] = []): readonly Prefix[] =>
  texts.map((text) => {
    const found = parsePrefix(text);
    if (found === undefined) throw new UsageError(`${flag} ${text}: a prefix, as 203.0.113.0/24 or 2001:db8::/32`);
    return found;
  });

function tun(text: string): NlbOptions['tun'] {
  if (text === 'none' || text === 'host') return { kind: text };
  const resource = matching(
    '--tun',
    text,
    /^[a-z0-9.-]+\/[A-Za-z0-9._-]+$/,
    'none, host, or a resource as squat.ai/tun',
  );
  return { kind: 'plugin', resource };
}
