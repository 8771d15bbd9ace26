/** The documents that are measured: what a user would write, many times. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder for files, gone with the disposal. */
export interface Folder extends AsyncDisposable {
  readonly path: string;
  /** Writes a file and gives its path. */
  write(name: string, text: string): Promise<string>;
}

/** A new folder below the system's temporary one. */
export async function makeFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
  return {
    path,
    async write(name, text) {
      await writeFile(join(path, name), text);
      return join(path, name);
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

const HOST = `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: edge }
spec:
  access: { netns: { name: edge } }
  interfaces:
    - { name: eth0, zone: public }
`;

/** The PortForward number `index` of the edge, of one port and to one target, both as YAML's flow style. */
export const forward = (index: number, port: string, to: string): string => `apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: forward-${index} }
spec:
  at: { hosts: [edge] }
  ports:
    - ${port}
  to:
    - ${to}
`;

/** One Host and `count` PortForwards, TCP and UDP by turns, all to one address on the edge's private network. `moved`: the last one goes elsewhere. */
export function manyForwards(count: number, moved = false): string {
  const documents = Array.from({ length: count }, (_, index) => {
    const port = 1024 + Math.floor(index / 2);
    const target = moved && index === count - 1 ? 60_000 : 20_000 + Math.floor(index / 2);
    const ports = `{ protocol: ${index % 2 === 0 ? 'TCP' : 'UDP'}, port: ${port}, targetPort: ${target} }`;
    return forward(index, ports, '{ address: 172.31.0.2 }');
  });
  return [HOST, ...documents].join('---\n');
}

/** One Host and `count` PortForwards of a UDP port each, from `first` on, to one address; the last `moved` go to another one. */
export function udpForwards(count: number, first: number, moved: number): string {
  const documents = Array.from({ length: count }, (_, index) =>
    forward(
      index,
      `{ protocol: UDP, port: ${first + index} }`,
      `{ address: 172.31.0.${index < count - moved ? 2 : 3} }`,
    ),
  );
  return [HOST, ...documents].join('---\n');
}
