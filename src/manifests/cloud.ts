/** What a load balancer asks, and how a Service asks one of it: the types of clouds.ts. */

/** An annotation of a Service, with the page that says its name and what it takes. */
export interface Annotation {
  readonly name: string;
  readonly value: string;
  readonly source: string;
}

/** How a balancer checks health. */
export interface HealthCheck {
  readonly protocol: 'TCP' | 'HTTP';
  readonly intervalSeconds: number;
  /** Checks in a row that turn a target healthy, or unhealthy. */
  readonly threshold: number;
}

/** What of the options is for the balancer. */
export interface CloudAsk {
  readonly check: HealthCheck;
  readonly healthPort: number;
  /** AWS: pods by their own addresses, or nodes. */
  readonly targets: 'ip' | 'instance';
  /** No public address. */
  readonly internal: boolean;
  /** MetalLB: the pool that the address is from. */
  readonly addressPool?: string;
}

/** Whom the balancer asks. */
export type Asked =
  /** The pod, at its health port, with its own address. */
  | 'pod'
  /** The pod, at a TCP port that the Service has for that. */
  | 'service'
  /** kube-proxy on each node (healthCheckNodePort), which tells whether a ready pod is there. */
  | 'node'
  /** Nobody: where a ready pod is, traffic goes. */
  | 'nobody';

export interface Cloud {
  readonly title: string;
  readonly asks: (ask: CloudAsk) => Asked;
  /** The pod sees the client's own address, so a NetworkPolicy can tell clients apart. */
  readonly keepsClient: boolean;
  readonly annotations: (ask: CloudAsk) => readonly Annotation[];
  /** Why it cannot be done as asked; undefined where it can. */
  readonly problem?: (ask: CloudAsk) => string | undefined;
  /** What else is to be known, for the head of the manifests and the guide. */
  readonly notes: readonly { readonly text: string; readonly source: string }[];
}

/** A cloud whose balancer cannot carry WireGuard. */
export interface UnfitCloud {
  readonly title: string;
  readonly unfit: string;
  readonly instead: string;
  readonly source: string;
}
