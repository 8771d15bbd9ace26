import { addressText, type Cable, type Plug, plugsOf, type Topology } from './topology.ts';

const width = 78;

/**
 * The network as text, at most 78 columns wide and without colour: a tree from the first host on, each with the
 * addresses it has towards the one above it, then the cables that close a circle.
 */
export function showNetwork(topology: Topology): string {
  const titles = new Map([...topology.hosts, ...topology.switches].map(({ name, title }) => [name, title]));
  const { below, used } = spread(topology);
  const lines: string[] = [];

  const draw = (name: string, above: Plug | undefined, first: string, rest: string): void => {
    const title = titles.get(name);
    lines.push(cut(`${first}${name}${title === undefined ? '' : `: ${title}`}`));
    const branches = below.get(name) ?? [];
    const bar = branches.length > 0 ? '│' : ' ';
    const own = above === undefined ? plugsOf(topology, name) : [above];
    for (const plug of own) lines.push(...addressLines(plug, `${rest}${bar}    `));
    branches.forEach((plug, i) => {
      const isLast = i === branches.length - 1;
      draw(plug.at, plug, `${rest}${isLast ? '╰─ ' : '├─ '}`, `${rest}${isLast ? '   ' : '│  '}`);
    });
  };

  const reached = new Set([...below.values()].flatMap((branches) => branches.map((plug) => plug.at)));
  for (const { name } of topology.hosts) if (!reached.has(name)) draw(name, undefined, '', '');
  for (const cable of topology.cables.filter((candidate) => !used.has(candidate))) {
    const [left, right] = cable.ends;
    lines.push(`also ${left.at} ─ ${right.at}:`);
    for (const plug of cable.ends) lines.push(...addressLines(plug, `  ${plug.at} `));
  }
  return `${lines.join('\n')}\n`;
}

/** For each machine the plugs of those below it, breadth first so that each hangs as near to the first host as it is. */
function spread(topology: Topology): {
  readonly below: ReadonlyMap<string, readonly Plug[]>;
  readonly used: ReadonlySet<Cable>;
} {
  const below = new Map<string, Plug[]>();
  const used = new Set<Cable>();
  const seen = new Set<string>();
  for (const { name: first } of topology.hosts) {
    if (seen.has(first)) continue;
    const queue = [first];
    seen.add(first);
    for (const name of queue) {
      for (const cable of topology.cables) {
        const far = farEnd(cable, name);
        if (far === undefined || seen.has(far.at)) continue;
        seen.add(far.at);
        used.add(cable);
        queue.push(far.at);
        below.set(name, [...(below.get(name) ?? []), far]);
      }
    }
  }
  return { below, used };
}

/** One line if all addresses fit, else one a line. A switch's interface has none and no line. */
function addressLines(plug: Plug, indent: string): readonly string[] {
  const addresses = (plug.addresses ?? []).map(addressText);
  if (addresses.length === 0) return [];
  const start = `${indent}${plug.interface}  `;
  const line = `${start}${addresses.join('  ')}`;
  if (line.length <= width) return [line];
  return addresses.map((address, i) => cut(`${i === 0 ? start : indent.padEnd(start.length)}${address}`));
}

function farEnd(cable: Cable, name: string): Plug | undefined {
  const [left, right] = cable.ends;
  if (left.at === name) return right;
  return right.at === name ? left : undefined;
}

const cut = (line: string): string => (line.length <= width ? line : `${line.slice(0, width - 1)}…`);
