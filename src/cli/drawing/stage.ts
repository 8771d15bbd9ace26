/** From a trace to what its drawing shows. */
import { printAddress } from '../../net/index.ts';
import {
  type Crossed,
  type Flow,
  isOverlay,
  type Network,
  printPacket,
  shownRequest,
  type Trace,
  type TunnelPlug,
  type Way,
} from '../../simulate/index.ts';
import { bystanders } from './bystanders.ts';
import {
  type Card,
  type Direction,
  hostSpot,
  keyOf,
  type Mark,
  type Medium,
  markOf,
  type Place,
  type Plug,
  plugKeyOf,
  type Row,
  type Scene,
  type Spot,
  type Step,
} from './scene.ts';

/** Draws up the scene of one trace. */
export function sceneOf(network: Network, flow: Flow, trace: Trace): Scene {
  const request = shownRequest(trace);
  const back = trace.reply ?? trace.notice?.way;
  const ways: readonly (readonly [Direction, Way])[] = [
    ['request', request],
    ...(back === undefined ? [] : [['answer', back] as const]),
  ];
  let count = 0;
  const steps = ways.flatMap(([direction, way]) =>
    way.crossings.map((crossed): Step & { readonly crossed: Crossed } => {
      count += 1;
      const { from, to } = endsOf(network, flow, crossed, way);
      const packet = printPacket(crossed.packet);
      return { ...{ direction, number: count, from, packet, after: crossed.after, crossed }, ...(to && { to }) };
    }),
  );
  const ended = ways.map(([direction, way]) => ({
    direction,
    way,
    mark: markOf(trace.works, request, back, direction),
    at: endOf(way),
  }));
  const media = mediaOf(network, steps, (step) => {
    const end = ended.find(({ direction }) => direction === step.direction);
    const isLast = step === steps.findLast(({ direction }) => direction === step.direction);
    if (step.to !== undefined) return undefined;
    return isLast && end?.at === undefined ? end?.mark : 'dies';
  });
  const places = placesOf(network, flow, steps, ended);
  const idle = bystanders(network, places);
  return {
    places: [...places, ...idle.places],
    media: [...media, ...idle.media],
    omitted: idle.omitted,
    steps: steps.map(({ crossed: _, ...step }) => step),
  };
}

/** The places at both ends of a stretch. */
function endsOf(
  network: Network,
  flow: Flow,
  { from, to, packet, after }: Crossed,
  way: Way,
): { readonly from: Plug; readonly to?: Plug } {
  const plug = ({ host, link }: TunnelPlug): Plug => ({ spot: hostSpot(host), link });
  if (from === undefined) {
    const entered: Plug = { spot: to === undefined ? INTERNET : beyond(network, to, printAddress(packet.source)) };
    return { from: entered, ...(to && { to: plug(to) }) };
  }
  if (to !== undefined) return { from: plug(from), to: plug(to) };
  const isOrigin = flow.from.kind === 'beyond' && flow.from.host === from.host && flow.from.link === from.link;
  const isHome = isOrigin && way.verdict === 'delivered';
  const isOut = way.verdict === 'exits' && after === way.hops.length;
  if (!isHome && !isOut) return { from: plug(from) };
  return { from: plug(from), to: { spot: beyond(network, from, printAddress(packet.destination)) } };
}

const INTERNET: Spot = { kind: 'internet' };

/** The Internet, or whoever stands at the other end of a link without being a Host. */
const beyond = (network: Network, plug: TunnelPlug, address: string): Spot =>
  network.hosts.get(plug.host)?.openLinks.has(plug.link) === true
    ? INTERNET
    : { kind: 'outside', beyond: plug, address };

/** The host in which a way ended; undefined where that was beyond one. */
function endOf({ crossings, hops, host, through, verdict }: Way): string | undefined {
  const last = crossings.at(-1);
  if (last !== undefined && last.to === undefined)
    return last.after < hops.length && verdict !== 'delivered' ? hops.at(-1)?.host : undefined;
  return last?.to?.host ?? host ?? through.at(-1);
}

/** One between each two links that the packet uses, with the packets that cross it. */
function mediaOf(
  network: Network,
  steps: readonly (Step & { readonly crossed: Crossed })[],
  markOfStep: (step: Step) => Mark | undefined,
): readonly Medium[] {
  const media = new Map<string, { readonly medium: Omit<Medium, 'cards'>; readonly cards: Map<string, Card> }>();
  for (const step of steps) {
    const { from, to, crossed, direction, number, packet } = step;
    const ends = to === undefined ? [from] : [from, to];
    const id = ends.map(plugKeyOf).sort().join(' = ');
    const found = media.get(id) ?? { medium: { id, ends, ...natureOf(network, crossed) }, cards: new Map() };
    media.set(id, found);
    const key = `${direction} ${plugKeyOf(from)} ${packet}`;
    const before = found.cards.get(key);
    const mark = markOfStep(step);
    found.cards.set(key, {
      ...{ direction, packet, from, numbers: [...(before?.numbers ?? []), number] },
      ...(to !== undefined && { to }),
      ...(mark !== undefined && { mark }),
    });
  }
  return [...media.values()].map(({ medium, cards }) => ({ ...medium, cards: [...cards.values()] }));
}

const TUNNELS: Readonly<Record<string, string>> = {
  ...{ wireguard: 'WireGuard', vxlan: 'VXLAN', ipip: 'IPIP', gre: 'GRE', sit: 'SIT' },
};

function natureOf(network: Network, { from, to, internet }: Crossed): Pick<Medium, 'kind' | 'label'> {
  const plug = from ?? to;
  const link = plug === undefined ? undefined : network.hosts.get(plug.host)?.links.get(plug.link);
  if (link !== undefined && isOverlay(link))
    return { kind: 'tunnel', label: `${TUNNELS[link.kind] ?? link.kind} tunnel` };
  return { kind: 'link', ...(internet === true && { label: 'over the Internet' }) };
}

interface Ended {
  readonly direction: Direction;
  readonly way: Way;
  readonly mark: Mark;
  readonly at: string | undefined;
}

function placesOf(network: Network, flow: Flow, steps: readonly Step[], ended: readonly Ended[]): readonly Place[] {
  const found = new Map<string, { readonly spot: Spot; readonly rows: Row[] }>();
  const put = (spot: Spot, ...rows: readonly Row[]): void => {
    const before = found.get(keyOf(spot));
    if (before === undefined) found.set(keyOf(spot), { spot, rows: [...rows] });
    else before.rows.push(...rows);
  };
  for (const { direction, way, mark, at } of ended) {
    const own = steps.filter((step) => step.direction === direction);
    const [first, last] = [own[0], own.at(-1)];
    // Else it ended without a hop of its own: by a link that is not up, in a ring, or before anything was sent.
    const isTold = way.hops.at(-1)?.host === at && (last === undefined || last.after < way.hops.length);
    const start = first?.from.spot ?? (way.through[0] === undefined ? undefined : hostSpot(way.through[0]));
    if (start !== undefined) put(start);
    for (const [index, hop] of way.hops.entries()) {
      const isEnd = isTold && index === way.hops.length - 1;
      if (!isEnd && (IN_PASSING.has(hop.stage) || hop.detail === 'accepted')) {
        put(hostSpot(hop.host));
        continue;
      }
      const arrival = own.findLast(({ after }) => after <= index);
      const text = `${hop.stage}: ${hop.detail}`;
      put(hostSpot(hop.host), { direction, text, ...afterOf(arrival), ...(isEnd && { mark }) });
    }
    if (at !== undefined && !isTold && way.reason !== undefined)
      put(hostSpot(at), { direction, text: way.reason, mark, ...afterOf(last) });
    if (last?.to !== undefined && last.to.spot.kind !== 'host') put(last.to.spot, endRow(last, mark, ended.length > 1));
  }
  return [...found.values()].map(({ spot, rows }) => ({ spot, ...nameOf(network, flow, spot), rows: shorten(rows) }));
}

/** Of a packet that goes round in a ring there is no end of rows: the first, and where it ends. */
const MOST_ROWS = 12;

const shorten = (rows: readonly Row[]): readonly Row[] =>
  rows.filter(({ mark }, index) => index < MOST_ROWS || mark !== undefined);

const afterOf = (step: Step | undefined): Pick<Row, 'after'> => (step === undefined ? {} : { after: step.number });

function endRow(step: Step, mark: Mark, isAnswered: boolean): Row {
  const row = { direction: step.direction, mark, ...afterOf(step) };
  if (mark === 'arrives') return { ...row, text: 'back at who asked' };
  if (mark !== 'leaves') return { ...row, text: 'comes, but not as the answer' };
  const answers = step.direction === 'request' && isAnswered;
  return { ...row, text: `to a machine that is no Host${answers ? ', and is taken to answer' : ''}` };
}

/** Told by the links and packets of the drawing, or of no weight in it. */
const IN_PASSING: ReadonlySet<string> = new Set(['link', 'route', 'wireguard', 'socket', 'delivered']);

function nameOf(network: Network, { from }: Flow, spot: Spot): Pick<Place, 'name' | 'notes'> {
  const asks = from.kind === 'beyond' ? printAddress(from.address) : undefined;
  switch (spot.kind) {
    case 'internet': {
      const isAsker = from.kind === 'beyond' && network.hosts.get(from.host)?.openLinks.has(from.link) === true;
      return { name: 'The Internet', notes: isAsker ? [`${asks} asks`] : [] };
    }
    case 'host': {
      const unseen = network.hosts.get(spot.host)?.unseen;
      return { name: spot.host, notes: unseen === undefined ? [] : [`nobody could look at it: ${unseen}`] };
    }
    case 'outside': {
      const { beyond, address } = spot;
      return {
        name: address,
        notes: [`beyond ${beyond.link} of ${beyond.host}`, ...(address === asks ? ['asks'] : [])],
      };
    }
  }
}
