/** Gives everything of a scene its place. Downwards, as it is read on a phone: who asks stands above, who answers below. */
import { Graph, layout } from '@dagrejs/dagre';
import { columnsOf } from './markup.ts';
import {
  type Box,
  CHIP,
  COLUMN,
  GAP,
  type PlacedMedium,
  type PlacedPlace,
  placeMedium,
  placePlace,
  type Size,
  sizeOfMedium,
  sizeOfPlace,
} from './measure.ts';
import { type Direction, keyOf, type Medium, type Plug, plugKeyOf, type Scene } from './scene.ts';

interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly places: readonly PlacedPlace[];
  readonly chips: readonly PlacedChip[];
  readonly media: readonly PlacedMedium[];
  readonly tracks: readonly Track[];
}

/** The link of a host, at its border. */
export interface PlacedChip {
  readonly link: string;
  readonly box: Box;
  readonly isIdle: boolean;
}

/** A stretch between a host and what lies before it. */
export interface Track {
  readonly points: readonly Point[];
  readonly direction: Direction | 'idle';
  readonly isTunnel: boolean;
  /** It comes to a place at its last point. */
  readonly hasHead: boolean;
}

/** Between the lines that share a link. */
const TRACK = 22;

type Side = 'top' | 'bottom';

/** An end of a track at a place: which chip, and whereto. */
interface Attachment {
  readonly place: string;
  readonly side: Side;
  readonly plug: Plug;
  /** The medium, and which of its tracks. */
  readonly medium: number;
  readonly card: number;
  /** It leaves the place, or comes to it. */
  readonly isOut: boolean;
  readonly isIdle: boolean;
}

/** Lays out one scene. */
export function layOut(scene: Scene): Layout {
  const order = new Map(scene.places.map(({ spot }, index) => [keyOf(spot), index]));
  const orderOf = ({ spot }: Plug): number => order.get(keyOf(spot)) ?? 0;
  const media = scene.media.map((medium) => ({
    medium,
    top: Math.min(...medium.ends.map(orderOf)),
    size: sizeOfMedium(medium),
  }));
  const attachments = media.flatMap(({ medium, top }, index) =>
    attachmentsOf(medium, index, (plug) => orderOf(plug) === top),
  );
  const sizes = scene.places.map((place) => {
    const sides = (['top', 'bottom'] as const).map((side) => chipsAt(attachments, keyOf(place.spot), side));
    return sizeOfPlace(place, Math.max(...sides.map(rowWidth)) + 2 * GAP);
  });
  const graph = openGraph();
  for (const [index, { width, height }] of sizes.entries())
    graph.setNode(`place ${index}`, { width, height: height + CHIP });
  for (const [index, { size }] of media.entries()) graph.setNode(`medium ${index}`, { ...size });
  for (const [index, { medium, top }] of media.entries()) {
    graph.setEdge(`place ${top}`, `medium ${index}`, {});
    for (const below of new Set(medium.ends.map(orderOf)))
      if (below !== top) graph.setEdge(`medium ${index}`, `place ${below}`, {});
  }
  layout(graph);
  const places = scene.places.map((place, index) =>
    placePlace(place, boxOf(graph.node(`place ${index}`), sizes[index])),
  );
  const placed = media.map(({ medium, size }, index) =>
    placeMedium(medium, boxOf(graph.node(`medium ${index}`), size)),
  );
  const bendsOf = (attachment: Attachment): readonly Point[] => {
    const at = order.get(attachment.place) ?? 0;
    const ends = [`place ${at}`, `medium ${attachment.medium}`] as const;
    const points = (attachment.side === 'bottom' ? graph.edge(...ends) : graph.edge(ends[1], ends[0]))?.points ?? [];
    return attachment.side === 'bottom' ? points : [...points].reverse();
  };
  const { chips, tracks } = placeTracks(attachments, { places, order, media: placed, bendsOf });
  const { width = 0, height = 0 } = graph.graph();
  return { width, height, places, chips, media: placed, tracks };
}

/** What is used of dagre's graph; its own declarations do not load under TypeScript's `nodenext`. */
interface DagreGraph {
  setNode(name: string, label: { readonly width: number; readonly height: number }): void;
  setEdge(from: string, to: string, label: object): void;
  node(name: string): Point;
  edge(from: string, to: string): { readonly points: readonly Point[] } | undefined;
  graph(): { readonly width?: number; readonly height?: number };
}

function openGraph(): DagreGraph {
  const graph = new Graph();
  graph.setGraph({ rankdir: 'TB', nodesep: 28, edgesep: 24, ranksep: 52, marginx: 8, marginy: 14 });
  return graph;
}

/** dagre tells the middle of a node. */
const boxOf = ({ x, y }: Point, size: Size = { width: 0, height: 0 }): Box => ({
  ...{ x: x - size.width / 2, y: y - size.height / 2 },
  ...{ width: size.width, height: size.height },
});

function attachmentsOf(medium: Medium, index: number, isTop: (plug: Plug) => boolean): readonly Attachment[] {
  const attach = (plug: Plug, card: number, isOut: boolean): Attachment => ({
    ...{ place: keyOf(plug.spot), side: isTop(plug) ? 'bottom' : 'top', plug, medium: index, card, isOut },
    isIdle: medium.cards.length === 0,
  });
  if (medium.cards.length === 0) return medium.ends.map((end) => attach(end, 0, false));
  return medium.cards.flatMap(({ from, to }, card) => [
    attach(from, card, true),
    ...(to === undefined ? [] : [attach(to, card, false)]),
  ]);
}

const chipKey = ({ side, plug }: Attachment): string => `${side} ${plugKeyOf(plug)}`;

/** The chips of one side of a place, each with its tracks. */
function chipsAt(attachments: readonly Attachment[], place: string, side: Side): readonly (readonly Attachment[])[] {
  const chips = new Map<string, Attachment[]>();
  for (const each of attachments) {
    if (each.place !== place || each.side !== side) continue;
    chips.set(chipKey(each), [...(chips.get(chipKey(each)) ?? []), each]);
  }
  return [...chips.values()];
}

const chipWidth = (chip: readonly Attachment[]): number =>
  Math.max(columnsOf(chip[0]?.plug.link ?? '') * COLUMN + 18, chip.length * TRACK + 6);

/** Of the chips on one side. */
const rowWidth = (chips: readonly (readonly Attachment[])[]): number =>
  chips.reduce((sum, chip) => sum + chipWidth(chip), (chips.length - 1) * GAP);

interface Placed {
  readonly places: readonly PlacedPlace[];
  readonly order: ReadonlyMap<string, number>;
  readonly media: readonly PlacedMedium[];
  /** From the place to the medium. */
  readonly bendsOf: (attachment: Attachment) => readonly Point[];
}

function placeTracks(
  attachments: readonly Attachment[],
  { places, order, media, bendsOf }: Placed,
): Pick<Layout, 'chips' | 'tracks'> {
  const targetOf = (attachment: Attachment): Point => targetAt(media[attachment.medium], attachment);
  const chips: PlacedChip[] = [];
  const tracks: Track[] = [];
  for (const [name, index] of order)
    for (const side of ['top', 'bottom'] as const) {
      const box = places[index]?.box;
      if (box === undefined) continue;
      const near = (each: Attachment): number => nearestBend(bendsOf(each))?.x ?? targetOf(each).x;
      const mean = (chip: readonly Attachment[]): number =>
        chip.reduce((sum, each) => sum + near(each), 0) / chip.length;
      const row = [...chipsAt(attachments, name, side)].sort((a, b) => mean(a) - mean(b));
      let x = box.x + (box.width - rowWidth(row)) / 2;
      const y = side === 'top' ? box.y - CHIP / 2 : box.y + box.height - CHIP / 2;
      for (const chip of row) {
        const width = chipWidth(chip);
        const link = chip[0]?.plug.link;
        if (link !== undefined)
          chips.push({ link, box: { x, y, width, height: CHIP }, isIdle: chip.every(({ isIdle }) => isIdle) });
        const edge = link === undefined ? y + CHIP / 2 : side === 'top' ? y : y + CHIP;
        const sorted = [...chip].sort((a, b) => targetOf(a).x - targetOf(b).x);
        for (const [at, attachment] of sorted.entries()) {
          const start = { x: x + (width * (at + 1)) / (sorted.length + 1), y: edge };
          const shift = (at - (sorted.length - 1) / 2) * TRACK;
          const bends = bendsOf(attachment)
            .slice(2, -2)
            .map((bend) => ({ x: bend.x + shift, y: bend.y }));
          tracks.push(trackOf(attachment, [start, ...bends, targetOf(attachment)], media));
        }
        x += width + GAP;
      }
    }
  return { chips, tracks };
}

/** Where an edge that is longer than one rank turns first. */
const nearestBend = (points: readonly Point[]): Point | undefined => points.slice(2, -2)[0];

/** Where a track meets the card it belongs to. */
function targetAt(placed: PlacedMedium | undefined, { card, side, isOut, plug }: Attachment): Point {
  const own = placed?.cards[card];
  const box = own?.box ?? placed?.box ?? { x: 0, y: 0, width: 0, height: 0 };
  // A wire from a host to itself goes in and comes out on one side.
  const isSelf = own?.card.to !== undefined && keyOf(own.card.to.spot) === keyOf(own.card.from.spot);
  const aside = isSelf && keyOf(plug.spot) === keyOf(own.card.from.spot) ? (isOut ? -12 : 12) : 0;
  return { x: box.x + box.width / 2 + aside, y: side === 'bottom' ? box.y : box.y + box.height };
}

function trackOf(
  { medium, card, isOut, isIdle }: Attachment,
  points: readonly Point[],
  media: readonly PlacedMedium[],
): Track {
  const placed = media[medium];
  const direction = placed?.cards[card]?.card.direction ?? 'idle';
  return {
    points: isOut || isIdle ? points : [...points].reverse(),
    direction,
    isTunnel: placed?.medium.kind === 'tunnel',
    hasHead: !isOut && !isIdle,
  };
}
