/** Endpoints given by name: asked for by us, for wg waits long for a name that does not answer, and never asks again. */
import { lookup } from 'node:dns/promises';
import { type Address, type Endpoint, isAddress, parseAddress, printAddress, printEndpoint } from '../../net/index.ts';
import type { QuickPeer, WireGuardDevice, WireGuardPeer } from '../../wireguard/index.ts';

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
 * The peers with addresses for names. One whose session is alive keeps the endpoint that it has come to, by roaming too, unless the file says
 * another than in `before`; one that cannot be resolved has none until it can, and is said.
 */
export async function resolvePeers(
  peers: readonly QuickPeer[],
  { device, before, nowSeconds, changes, warn }: Resolving,
): Promise<readonly QuickPeer[]> {
  return await Promise.all(
    peers.map(async (peer) => {
      const { endpoint, ...rest } = peer;
      if (endpoint === undefined) return peer;
      const standing = device?.peers.find(({ publicKey }) => publicKey === peer.publicKey);
      const same = before?.find(({ publicKey }) => publicKey === peer.publicKey)?.endpoint;
      const isSaid = same !== undefined && printEndpoint(same) === printEndpoint(endpoint);
      if (isSaid && standing?.endpoint !== undefined && !isSilent(standing, nowSeconds))
        return { ...peer, endpoint: standing.endpoint };
      if (isAddress(endpoint.host)) return peer;
      const addresses = await resolve(endpoint.host);
      const { endpoint: at } = standing ?? {};
      const [address] = addresses;
      if (at !== undefined && addresses.some((each) => isSame(at, each, endpoint.port)))
        return { ...peer, endpoint: at };
      if (address !== undefined) {
        const moved = { host: address, port: endpoint.port };
        if (before !== undefined) changes.push(`${endpoint.host} is at ${printEndpoint(moved)} now`);
        return { ...peer, endpoint: moved };
      }
      warn(`${endpoint.host} has no address now: its peer is asked for again`);
      return at === undefined ? rest : { ...peer, endpoint: at };
    }),
  );
}

interface Resolving {
  readonly device: WireGuardDevice | undefined;
  /** Of the file that was in force until now. */
  readonly before: readonly QuickPeer[] | undefined;
  readonly nowSeconds: number;
  /** Takes a sentence for each name that leads elsewhere now. */
  readonly changes: string[];
  readonly warn: (message: string) => void;
}

const isSilent = ({ latestHandshake = 0 }: WireGuardPeer, nowSeconds: number): boolean =>
  nowSeconds - latestHandshake >= SILENT;

const isSame = ({ host, port }: Endpoint, address: Address, at: number): boolean =>
  isAddress(host) && port === at && printAddress(host) === printAddress(address);
