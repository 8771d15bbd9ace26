/** What is asked of `nlbManifests`, read and checked. */
import type { Prefix } from '../net/index.ts';
import type { CloudAsk } from './cloud.ts';
import type { CloudName } from './clouds.ts';

export interface NlbOptions extends CloudAsk {
  readonly cloud: CloudName;
  readonly name: string;
  /** Left out: that of kubectl's context. */
  readonly namespace?: string;
  readonly image: string;
  readonly workload: 'Deployment' | 'StatefulSet';
  readonly replicas: number;
  /** The tunnel's link, and the name of its file in the pod without `.conf`. */
  readonly link: string;
  /** `file`: where the user has it, for the command that makes the Secret. */
  readonly secret: { readonly name: string; readonly key: string; readonly file: string };
  /** Files of keys that the tunnel's file names, beside it in the pod and in the Secret. */
  readonly keyFiles: readonly string[];
  /** UDP, where clients come. */
  readonly port: number;
  /** UDP, where the tunnel listens in the pod. */
  readonly listenPort: number;
  /** HTTP for the kubelet, where the health port answers TCP alone. */
  readonly probePort: number;
  /** The address in the pod that health is told at. */
  readonly healthAddress: string;
  /** Clients; empty: all. */
  readonly sourceRanges: readonly Prefix[];
  /** Who may ask for health; empty: all. */
  readonly proberRanges: readonly Prefix[];
  /** `--require` of the health server. */
  readonly require: string;
  readonly masquerade: boolean;
  /** What gives the pod /dev/net/tun where the nodes' kernels have no WireGuard: the node's own device, or a device plugin's resource. */
  readonly tun:
    | { readonly kind: 'none' }
    | { readonly kind: 'host' }
    | { readonly kind: 'plugin'; readonly resource: string };
  /** Ask for sysctls that the kubelet must be told to allow. */
  readonly unsafeSysctls: boolean;
  /** What the tunnel's file says under DNS: a read-only root has a read-only resolv.conf. */
  readonly dns: { readonly servers: readonly string[]; readonly searches: readonly string[] };
  /** A peer has an endpoint: each pod begins sessions of its own, with the one key. */
  readonly dialsOut: boolean;
}
