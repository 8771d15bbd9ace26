/** A story run by the command line as users run it, on a lab: apply, look, destroy, and the hosts as they were. */
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { type ConnectOptions, type Lab, patient, startLab, type Topology } from '../../lab/index.ts';

export const SALLYPORT = fileURLToPath(new URL('../../../bin/sallyport', import.meta.url));

export interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Story extends AsyncDisposable {
  readonly lab: Lab;
  /** Runs `sallyport ARGS`; the documents go in by stdin where they are given. */
  sallyport(args: readonly string[], documents?: string): Promise<Run>;
  /** Applies, and waits until every tunnel of the set is up. */
  apply(documents: string): Promise<void>;
  /** Destroys, and holds each host against its dump from before the story. */
  destroy(documents: string): Promise<void>;
  /** What a server at the target saw of a client of the Internet, or the client's error. */
  ask(host: string, options: ConnectOptions): Promise<string>;
}

/** Starts the network, lets `prepare` change it, and notes how the hosts `held` are before anything of ours is done. */
export async function startStory(
  topology: Topology,
  prepare?: (lab: Lab) => Promise<void>,
  held: readonly string[] = ['edge', 'node'],
): Promise<Story> {
  const lab = await startLab(topology);
  await prepare?.(lab);
  const before = new Map<string, string>();
  for (const host of held) before.set(host, await lab.dump(host));
  const sallyport: Story['sallyport'] = (args, documents) =>
    lab.run([process.execPath, SALLYPORT, ...args], {
      allowFailure: true,
      timeoutMs: 60_000,
      ...(documents !== undefined && { stdin: documents }),
    });
  return {
    lab,
    sallyport,
    async apply(documents) {
      const applied = await sallyport(['apply', '--yes', '-f', '-'], documents);
      expect(applied, applied.stderr).toMatchObject({ status: 0 });
      await waitFor('every tunnel up', async () => {
        const { hosts: seen } = JSON.parse((await sallyport(['status', '-o', 'json', '-f', '-'], documents)).stdout);
        return seen.every((host: { tunnels: readonly { up: boolean }[] }) => host.tunnels.every(({ up }) => up));
      });
    },
    async destroy(documents) {
      const destroyed = await sallyport(['destroy', '--yes', '-f', '-'], documents);
      expect(destroyed, destroyed.stderr).toMatchObject({ status: 0 });
      for (const [host, dump] of before) expect(await lab.dump(host), `${host} is as it was`).toBe(dump);
    },
    async ask(host, options) {
      const result = await lab.connect(host, options);
      return result.ok ? `seen from ${result.saw?.client.address}` : result.error;
    },
    async [Symbol.asyncDispose]() {
      await lab[Symbol.asyncDispose]();
    },
  };
}

/** `wg ARGS` on a host. Where wireguard-go serves, its sockets lie where the product keeps them for this namespace. */
export async function wg(lab: Lab, host: string, ...args: readonly string[]): Promise<string> {
  const inside = `f=/run/sallyport/netns/$(stat -L -c %i /proc/self/ns/net)/wireguard
[ ! -d "$f" ] || { mkdir -p /run/wireguard && mount -n --bind "$f" /run/wireguard; } && exec wg "$@"`;
  return (await lab.host(host).run(['unshare', '--mount', 'sh', '-c', inside, 'wg', ...args])).stdout.trim();
}

/** Whether this kernel makes such links, by making one. The VM's must: it is there for them. */
export async function makes(lab: Lab, kind: string, outside: 4 | 6, at = 'neighbour'): Promise<boolean> {
  const ends = outside === 4 ? ['local', '10.9.9.1', 'remote', '10.9.9.2'] : ['local', 'fd99::1', 'remote', 'fd99::2'];
  const host = lab.host(at);
  const made = await host.run(['ip', 'link', 'add', 'tried', 'type', kind, ...ends], { allowFailure: true });
  if (process.env.LAB_LANE === 'vm') expect(made).toMatchObject({ status: 0 });
  if (made.status === 0) await host.run(['ip', 'link', 'delete', 'tried']);
  return made.status === 0;
}

/** Asks again until it is so, or fails with what was waited for. */
export async function waitFor(what: string, isSo: () => Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  for (const deadline = Date.now() + patient(timeoutMs); Date.now() < deadline; await new Promise((done) => setTimeout(done, 100)))
    if (await isSo()) return;
  throw new Error(`waited ${timeoutMs} ms for: ${what}`);
}

export interface Documents {
  readonly tunnel?: string;
  /** Lines of the PortForward's spec beside `at`. */
  readonly forward?: string;
  readonly at?: string;
  readonly edge?: string;
  readonly node?: string;
}

export const WIREGUARD = `type: WireGuard
  ends:
    - { host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "198.51.100.10:51820" }
    - { host: node, addresses: [10.90.0.2/30, "fd90::2/64"] }`;

/** Over the private link of the lab: nothing is made for it. */
export const DIRECT = `type: Direct
  ends:
    - { host: edge, addresses: [172.31.0.1, "fd31::1"] }
    - { host: node, addresses: [172.31.0.2, "fd31::2"] }`;

export const VXLAN = `type: VXLAN
  ends:
    - { host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "172.31.0.1:4789" }
    - { host: node, addresses: [10.90.0.2/30, "fd90::2/64"], endpoint: "172.31.0.2:4789" }`;

export const PORTS = `ports:
    - { protocol: TCP, port: 80, targetPort: 8080 }
    - { protocol: UDP, port: 53, targetPort: 5353 }
    - { protocol: UDP, port: 30000-30100 }
    - { protocol: TCP, port: 2000-2002, targetPort: 3000-3002 }`;

const TO_NODE = `${PORTS}
  to:
    - { host: node, via: edge-node }`;

/** The slim edge's documents with parts replaced. */
export const documents = ({ tunnel = WIREGUARD, forward = TO_NODE, at = '{ hosts: [edge] }', edge = '', node = '' }: Documents = {}): string =>
  [
    document('Host', 'edge', `access: { netns: { name: edge } }${edge}`),
    document('Host', 'node', `access: { netns: { name: node } }${node}`),
    ...(tunnel === '' ? [] : [document('Tunnel', 'edge-node', tunnel)]),
    document('PortForward', 'services', `at: ${at}\n  ${forward}`),
  ].join('---\n');

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec:\n  ${spec}\n`;
