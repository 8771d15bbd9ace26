/** Whether a packet that is to leave by one path leaves by another. */
import { printPacket, type TunnelPlug, type Way } from '../simulate/index.ts';

/** Whether a packet is at one of these links. */
export const isPlug = (plugs: readonly TunnelPlug[], at: TunnelPlug | undefined): boolean =>
  at !== undefined && plugs.some(({ host, link }) => host === at.host && link === at.link);

/** Where the packet goes on by another link than the path: beyond all hosts, or from a host of the path. What the path itself sends comes after it. */
export function leakOf(
  { crossings }: Pick<Way, 'crossings'>,
  plugs: readonly TunnelPlug[],
  doors: readonly TunnelPlug[],
): (TunnelPlug & { readonly source: string }) | undefined {
  for (const { from, to, packet } of crossings) {
    if (from === undefined || from.link === 'lo') continue;
    if (isPlug(plugs, from)) return undefined;
    // Sources among themselves.
    if (isPlug(doors, from)) continue;
    const isOnItsWay = to !== undefined && !plugs.some(({ host }) => host === from.host);
    if (!isOnItsWay) return { ...from, source: printPacket(packet) };
  }
  return undefined;
}
