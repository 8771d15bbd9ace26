/** A real DNS server in a lab, which says what it is told of one name. */
import type { Lab } from '../../lab/index.ts';
import { waitFor } from './story.ts';

const ZONE = 'example.test';
/** The name that it knows. */
export const DNS_NAME = `edge.${ZONE}`;

export interface DnsPlace {
  /** The host that it runs on, and its address there. */
  readonly at: string;
  readonly address: string;
  /** The host that asks it. */
  readonly asker: string;
}

export interface Dns extends AsyncDisposable {
  /** From now on the name has this address, and who asks hears so. */
  mean(address: string): Promise<void>;
}

/** Before an argument vector: asks this server. Its own mount namespace is all that changes. */
export const askingDns: readonly string[] = [
  ...['unshare', '--mount', 'sh', '-ec', 'mount -n --bind /run/resolv.conf /etc/resolv.conf; exec "$@"', 'sh'],
];

/** The resolver's file, /run/resolv.conf in the lab, names it from here on. */
export async function startDns(lab: Lab, { at, address, asker }: DnsPlace): Promise<Dns> {
  await lab.run(['tee', '/run/resolv.conf'], { stdin: `nameserver ${address}\noptions timeout:1 attempts:1\n` });
  await lab.run(['mkdir', '-p', '/run/knot']);
  await lab.run(['tee', '/run/knot/knot.conf'], { stdin: configuration(address) });
  const server = await lab.host(at).spawn(['knotd', '-c', '/run/knot/knot.conf']);
  server.stdout.resume();
  server.stderr.resume();
  let serial = 1;
  return {
    async mean(now) {
      serial += 1;
      const zone = `$TTL 1
@ SOA ns.${ZONE}. root.${ZONE}. ${serial} 1 1 1 1
@ NS ns
ns A ${address}
edge A ${now}
`;
      await lab.run(['tee', '/run/knot/zone'], { stdin: zone });
      const reload = ['knotc', '-s', '/run/knot/knot.sock', 'zone-reload', ZONE];
      await waitFor('knot has read its zone', async () => (await lab.host(at).run(reload, { allowFailure: true })).status === 0);
      await waitFor(`${asker} hears of ${now}`, async () => {
        const ask = [...askingDns, 'getent', 'ahosts', DNS_NAME];
        return (await lab.host(asker).run(ask, { allowFailure: true })).stdout.startsWith(`${now} `);
      });
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

const configuration = (address: string): string => `server:
  listen: ${address}@53
  rundir: /run/knot
  user: root:root
control:
  listen: /run/knot/knot.sock
database:
  storage: /run/knot
zone:
  - domain: ${ZONE}
    storage: /run/knot
    file: zone
`;
