/** The command line in a lab: what its tests stand on. Runs bin/sallyport, as built. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Lab, type RunResult, type SlimEdgeOptions, slimEdge, startLab } from '../../lab/index.ts';

export const sallyportPath = fileURLToPath(new URL('../../../bin/sallyport', import.meta.url));

export interface CliLab extends AsyncDisposable {
  readonly lab: Lab;
  /** Runs the command line beside the hosts, whatever its status. */
  sallyport(...argv: readonly string[]): Promise<RunResult>;
  /** The same, of which stdout is JSON. */
  json(
    ...argv: readonly string[]
  ): Promise<{ readonly status: number; readonly value: unknown; readonly stderr: string }>;
  /** Writes documents to a file and gives its path. */
  documents(name: string, text: string): Promise<string>;
  /** The dumps of edge and node, to be compared. */
  dumps(): Promise<string>;
}

/** Starts the slim edge's network with a folder for documents; both are gone with the disposal. */
export async function startCliLab(options: SlimEdgeOptions = {}): Promise<CliLab> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-cli-'));
  const lab = await startLab(slimEdge(options));
  const sallyport = (...argv: readonly string[]): Promise<RunResult> =>
    lab.run([process.execPath, sallyportPath, ...argv], { allowFailure: true, timeoutMs: 60_000 });
  return {
    lab,
    sallyport,
    async json(...argv) {
      const { stdout, stderr, status } = await sallyport(...argv, '-o', 'json');
      return { status, stderr, value: JSON.parse(stdout) };
    },
    async documents(name, text) {
      const path = join(folder, name);
      await writeFile(path, text);
      return path;
    },
    async dumps() {
      return (await Promise.all(['edge', 'node'].map((host) => lab.dump(host)))).join('\n');
    },
    async [Symbol.asyncDispose]() {
      await lab[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The kernel gives a link without an address of its own (a tun) a link-local one by chance, and another when it is made again. */
export const withoutChance = (dumps: string): string =>
  dumps
    .split('\n')
    .filter((line) => !/"dst":"fe80::[0-9a-f:]{15,}","dev":"sp-/.test(line))
    .map((line) => (line.includes('sp-') ? line.replace(/fe80::[0-9a-f:]{15,}|stable_secret = .*/g, 'CHANCE') : line))
    .join('\n');

export interface DocumentOptions {
  /** Name of the second Host; the namespace stays `node`. */
  readonly node?: string;
  readonly ports?: readonly string[];
  /** Fields that the PortForward has too much. */
  readonly extra?: string;
  /** What the tunnel is called, and the last byte of its networks and port: several sets on the same hosts. */
  readonly tunnel?: { readonly name: string; readonly index: number };
}

/** The documents of a slim edge between the namespaces `edge` and `node`. */
export function slimEdgeDocuments(options: DocumentOptions = {}): string {
  const { node = 'node', ports = ['{ protocol: TCP, port: 80, targetPort: 8080 }'], extra = '' } = options;
  const { name, index } = options.tunnel ?? { name: 'edge-node', index: 0 };
  return `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: edge }
spec:
  access: { netns: { name: edge } }
  interfaces: [{ name: eth0, zone: public }]
---
apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: ${node} }
spec:
  access: { netns: { name: node } }
---
apiVersion: sallyport.dev/v1alpha1
kind: Tunnel
metadata: { name: ${name} }
spec:
  type: WireGuard
  ends:
    - { host: edge, addresses: [10.90.${index}.1/30, "fd90:${index}::1/64"], endpoint: "198.51.100.10:${51820 + index}" }
    - { host: ${node}, addresses: [10.90.${index}.2/30, "fd90:${index}::2/64"] }
---
apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: ${name}-web }
spec:
  at: { hosts: [edge] }
  ports:
${ports.map((port) => `    - ${port}`).join('\n')}
  to:
    - { host: ${node}, via: ${name} }
${extra}`;
}
