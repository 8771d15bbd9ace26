/** WireGuard links and their peers: what stands against what should. */
import { add, type HostChange, type HostFacts, type HostObject, type NamesOnHost, remove } from '../host/index.ts';
import { type Endpoint, isAddress, printEndpoint, printPrefix, sameAddress } from '../net/index.ts';
import {
  isPendingKey,
  printKey,
  sameKey,
  tunnelUp,
  type WireGuardDevice,
  type WireGuardPeer,
} from '../wireguard/index.ts';

interface DeviceDiff {
  readonly devices: readonly HostChange[];
  readonly added: readonly HostChange[];
  readonly removed: readonly HostChange[];
}

/** `gone`: links that go, with all that is on them. A peer's changes are in place: its session and counters stay. */
export function diffDevices(
  before: readonly WireGuardDevice[],
  after: readonly WireGuardDevice[],
  gone: ReadonlySet<string>,
  facts: Pick<HostFacts, 'record' | 'names'>,
): DeviceDiff {
  const devices: HostChange[] = [];
  const added: HostChange[] = [];
  const removed: HostChange[] = [];
  const stays = new Map(before.filter(({ link }) => !gone.has(link)).map((device) => [device.link, device]));
  for (const device of before) {
    if (stays.has(device.link)) continue;
    removed.push(
      ...device.peers.map((peer) => remove({ kind: 'peer', link: device.link, peer })),
      remove({ kind: 'device', device: withoutPeers(device) }),
    );
  }
  for (const wanted of after) {
    const stands = stays.get(wanted.link);
    const device = withoutPeers(wanted);
    if (stands === undefined) devices.push(add({ kind: 'device', device }));
    else if (!sameDevice(stands, device))
      devices.push({
        action: 'change',
        before: { kind: 'device', device: withoutPeers(stands) },
        after: { kind: 'device', device },
      });
    const standing = new Map((stands?.peers ?? []).map((peer) => [printKey(peer.publicKey), peer]));
    for (const peer of wanted.peers) {
      const old = standing.get(printKey(peer.publicKey));
      standing.delete(printKey(peer.publicKey));
      const after: HostObject = { kind: 'peer', link: device.link, peer, ...meaningOf(peer, facts.names) };
      if (old === undefined) added.push(add(after));
      else if (!samePeer(old, peer, device.link, facts))
        added.push({ action: 'change', before: { kind: 'peer', link: device.link, peer: old }, after });
    }
    for (const peer of standing.values()) removed.push(remove({ kind: 'peer', link: device.link, peer }));
  }
  return { devices, added, removed };
}

const withoutPeers = ({ peers: _, ...device }: WireGuardDevice): Omit<WireGuardDevice, 'peers'> => device;

/** The kernel chose the port where none is wanted. A device without a private key differs from every wanted one. */
const sameDevice = (stands: WireGuardDevice, wanted: Omit<WireGuardDevice, 'peers'>): boolean =>
  stands.publicKey !== undefined &&
  wanted.publicKey !== undefined &&
  (isPendingKey(wanted.publicKey) || stands.publicKey === wanted.publicKey) &&
  (wanted.listenPort === undefined || stands.listenPort === wanted.listenPort) &&
  (stands.firewallMark ?? 0) === (wanted.firewallMark ?? 0);

type Known = Pick<HostFacts, 'record' | 'names'>;

function samePeer(stands: WireGuardPeer, wanted: WireGuardPeer, link: string, known: Known): boolean {
  const prefixes = (peer: WireGuardPeer): string => peer.allowedIps.map(printPrefix).sort().join(' ');
  return (
    prefixes(stands) === prefixes(wanted) &&
    (stands.keepaliveSeconds ?? 0) === (wanted.keepaliveSeconds ?? 0) &&
    stands.presharedKey === wanted.presharedKey &&
    sameEndpoint(stands, wanted, link, known)
  );
}

/**
 * A peer may roam: where we set this very endpoint before and it has answered since, the kernel knows better. Behind a name it does so
 * while its session is alive; after that the addresses that the name has now must be the peer's. A name that means nothing changes nothing.
 */
function sameEndpoint(stands: WireGuardPeer, wanted: WireGuardPeer, link: string, { record, names }: Known): boolean {
  const { endpoint } = wanted;
  if (endpoint === undefined) return true;
  if (stands.endpoint === undefined) return false;
  const text = printEndpoint(endpoint);
  if (printEndpoint(stands.endpoint) === text) return true;
  const wasSet = [...(record?.sets.values() ?? [])]
    .flatMap(({ tunnels }) => tunnels)
    .some(
      ({ link: on, peer }) =>
        on === link &&
        peer.endpoint !== undefined &&
        printEndpoint(peer.endpoint) === text &&
        (peer.publicKey === undefined || sameKey(peer.publicKey, wanted.publicKey)),
    );
  if (!wasSet) return false;
  if (isAddress(endpoint.host)) return stands.latestHandshake !== undefined;
  const meanings = names?.meanings.get(endpoint.host);
  if (names === undefined || meanings === undefined) return true;
  const { host, port } = stands.endpoint;
  const isOne = isAddress(host) && port === endpoint.port && meanings.some((each) => sameAddress(each, host));
  return isOne || tunnelUp(stands, names.seconds);
}

/** What the name of its endpoint means now, for `wg` in its place: who is told an address need not ask, and what was planned is what is set. */
function meaningOf({ endpoint }: WireGuardPeer, names: NamesOnHost | undefined): { readonly meaning?: Endpoint } {
  const host = endpoint && !isAddress(endpoint.host) ? names?.meanings.get(endpoint.host)?.[0] : undefined;
  return endpoint === undefined || host === undefined ? {} : { meaning: { host, port: endpoint.port } };
}
