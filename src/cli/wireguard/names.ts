/** Endpoints given by name: asked for by us, for wg waits long for a name that does not answer, and never asks again. */
import { lookup } from 'node:dns/promises';
import { type Address, type Endpoint, isAddress, parseAddress, printAddress } from '../../net/index.ts';
import type { PublicKey, QuickPeer, WireGuardDevice } from '../../wireguard/index.ts';

/** A resolver that does not answer holds nobody up longer. */
const PATIENCE_MS = 2_000;
/** Without a handshake for so long its endpoint is asked for again (as reresolve-dns.sh of wireguard-tools). Seconds. */
const SILENT = 135;

/** All addresses of a name; none where it cannot be told now. */
async function resolve(name: string): Promise<readonly Address[]> {
  const late = new Promise<readonly never[]>((give) => setTimeout(give, PATIENCE_MS, []).unref());
  const found = await Promise.race([lookup(name, { all: true }).catch(() => []), late]);
  return found.flatMap(({ address }) => parseAddress(address) ?? []);
}

/**
 * The peers with addresses for names. One whose endpoint stands already and whose session is alive keeps it; one that cannot be resolved has
 * none until it can, and is said.
 */
export async function resolvePeers(
  peers: readonly QuickPeer[],
  device: WireGuardDevice | undefined,
  warn: (message: string) => void,
): Promise<readonly QuickPeer[]> {
  return await Promise.all(
    peers.map(async (peer) => {
      const { endpoint, ...rest } = peer;
      if (endpoint === undefined || isAddress(endpoint.host)) return peer;
      const addresses = await resolve(endpoint.host);
      const standing = endpointOf(device, peer.publicKey);
      const isStill = standing !== undefined && addresses.some((each) => isSame(standing, each, endpoint.port));
      const [address] = addresses;
      if (isStill) return { ...peer, endpoint: standing };
      if (address !== undefined) return { ...peer, endpoint: { host: address, port: endpoint.port } };
      warn(`${endpoint.host} has no address now: its peer is asked for again`);
      return standing === undefined ? rest : { ...peer, endpoint: standing };
    }),
  );
}

/** Peers that are silent and whose name leads elsewhere now, each with where to. */
export async function movedPeers(
  peers: readonly QuickPeer[],
  device: WireGuardDevice,
  nowSeconds: number,
): Promise<readonly { readonly publicKey: PublicKey; readonly endpoint: Endpoint; readonly name: string }[]> {
  const moved = await Promise.all(
    peers.map(async ({ publicKey, endpoint }) => {
      if (endpoint === undefined || isAddress(endpoint.host)) return [];
      const peer = device.peers.find((each) => each.publicKey === publicKey);
      if (nowSeconds - (peer?.latestHandshake ?? 0) < SILENT) return [];
      const addresses = await resolve(endpoint.host);
      const [address] = addresses;
      const standing = endpointOf(device, publicKey);
      if (address === undefined) return [];
      if (standing !== undefined && addresses.some((each) => isSame(standing, each, endpoint.port))) return [];
      return [{ publicKey, endpoint: { host: address, port: endpoint.port }, name: endpoint.host }];
    }),
  );
  return moved.flat();
}

const endpointOf = (device: WireGuardDevice | undefined, key: PublicKey): Endpoint | undefined =>
  device?.peers.find(({ publicKey }) => publicKey === key)?.endpoint;

const isSame = ({ host, port }: Endpoint, address: Address, at: number): boolean =>
  isAddress(host) && port === at && printAddress(host) === printAddress(address);
