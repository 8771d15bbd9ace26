import type { Plain } from './fast-yaml.ts';
import { type Finding, findingsOf } from './issues.ts';
import { nearest } from './nearest.ts';
import { findNoted, type Reference } from './notes.ts';
import { isMap, type Path, printPath, readPath, valueAt } from './path.ts';
import type { Position, Problem, ProblemCode } from './problem.ts';
import type { Entry, EntryPlace } from './read.ts';
import type { HostResource, Resource } from './resource.ts';
import {
  API_VERSION,
  type EgressRouteDocument,
  type HostDocument,
  isKind,
  type Kind,
  kinds,
  type PortForwardDocument,
  schemas,
  type TunnelDocument,
} from './schema.ts';

/** Makes a problem of a document that is already read; the path is the document's own, as text. */
export type ProblemMaker = (code: ProblemCode, path: string, what: string, meant?: string) => Problem;

/** A document whose own form is right; what it says of others is still to be looked at. */
export type Validated =
  | { readonly kind: 'Host'; readonly resource: HostResource }
  | ({ readonly kind: 'Tunnel'; readonly spec: TunnelDocument['spec'] } & Placed)
  | ({ readonly kind: 'PortForward'; readonly spec: PortForwardDocument['spec'] } & Placed)
  | ({ readonly kind: 'EgressRoute'; readonly spec: EgressRouteDocument['spec'] } & Placed);

export interface Placed {
  readonly place: Resource;
  readonly problem: ProblemMaker;
}

/** The kind and name of a document, as far as they can be told; also of one that is wrong, so that who refers to it is not blamed. */
export interface Identity {
  readonly kind: Kind;
  readonly name: string;
  readonly at: Position;
  /** Of its name, as a Problem has it. */
  readonly path: string;
}

/** A reference to another document, which may turn out to be missing. */
export interface PlacedReference extends Reference {
  readonly place: EntryPlace;
}

/** The problem that a reference is when it leads nowhere; `meant` is the nearest name that exists. */
export const danglingReference = (
  { place, path, kind, name }: PlacedReference,
  meant: string | undefined,
): Problem => ({
  code: 'danglingReference',
  at: place.locate(path),
  path: printPath([...place.base, ...path]),
  what: `there is no ${kind} "${name}"`,
  ...withMeant(meant),
});

export interface Validation {
  readonly identity?: Identity;
  /** Left out where the form is wrong; there where something is not yet supported. */
  readonly validated?: Validated;
  readonly references: readonly PlacedReference[];
  readonly problems: readonly Problem[];
}

/** Holds one document against the schema of its kind. `known`: as findNoted has it. */
export function validateEntry(entry: Entry, known?: ReadonlySet<Kind>): Validation {
  const { data, place } = entry;
  const toProblem = ({ code, path, part, what, meant }: Finding): Problem => ({
    code,
    at: place.locate(path, part),
    path: printPath([...place.base, ...path]),
    what,
    ...withMeant(meant),
  });
  if (!isMap(data)) {
    const what = 'expected a map with apiVersion, kind, metadata and spec';
    return { references: [], problems: [toProblem({ code: 'wrongType', path: [], what })] };
  }
  const findings: Finding[] = [...versionFindings(data.apiVersion)];
  const { kind } = data;
  if (!isKind(kind)) {
    findings.push(kindFinding(kind));
    return { references: [], problems: findings.map(toProblem) };
  }
  const name = valueAt(data, NAME);
  const at = new LaterPosition(place, NAME);
  const parsed = parseAs(kind, entry, at);
  for (const issue of parsed.issues) {
    // versionFindings says it better.
    if (issue.path[0] !== 'apiVersion') findings.push(...findingsOf(kind, entry, issue));
  }
  const { notYet, references } = findNoted(kind, data, known);
  for (const { path, what } of notYet) findings.push({ code: 'notYetSupported', path, what });
  const { validated } = parsed;
  return {
    ...(typeof name === 'string'
      ? { identity: { kind, name, at, path: printPath([...place.base, 'metadata', 'name']) } }
      : {}),
    ...(validated === undefined ? {} : { validated }),
    references: references.map((reference) => ({ ...reference, place })),
    problems: withoutEchoes(findings).map(toProblem),
  };
}

/** A misspelt field is also missing by its right name; said once, with the hint. */
function withoutEchoes(findings: readonly Finding[]): readonly Finding[] {
  const meant = new Set(
    findings.flatMap(({ code, path, meant }) =>
      code === 'unknownField' && meant !== undefined ? [printPath([...path.slice(0, -1), meant])] : [],
    ),
  );
  if (meant.size === 0) return findings;
  return findings.filter(({ code, path }) => code !== 'missingField' || !meant.has(printPath(path)));
}

function versionFindings(version: Plain | undefined): readonly Finding[] {
  if (version === API_VERSION) return [];
  const path = ['apiVersion'];
  if (version === undefined) return [{ code: 'missingField', path, what: 'is missing', meant: API_VERSION }];
  return [{ code: 'unknownVersion', path, what: `${JSON.stringify(version)} is not ${API_VERSION}` }];
}

function kindFinding(kind: Plain | undefined): Finding {
  const path = ['kind'];
  if (kind === undefined) return { code: 'missingField', path, what: `is missing; one of ${kinds.join(', ')}` };
  const meant = typeof kind === 'string' ? nearest(kind, kinds) : undefined;
  const what = `${JSON.stringify(kind)} is none of ${kinds.join(', ')}`;
  return { code: 'unknownKind', path, what, ...withMeant(meant) };
}

/** Where every document has its name. */
const NAME: Path = ['metadata', 'name'];

type Issues = readonly Parameters<typeof findingsOf>[2][];

/** One branch per kind, as each has an output type of its own. */
function parseAs(kind: Kind, entry: Entry, at: Position): { readonly validated?: Validated; readonly issues: Issues } {
  switch (kind) {
    case 'Host': {
      const { data, error } = schemas.Host.safeParse(entry.data);
      if (data === undefined) return { issues: error?.issues ?? [] };
      return { validated: { kind, resource: toHost(data, entry.place, at) }, issues: [] };
    }
    case 'Tunnel': {
      const { data, error } = schemas.Tunnel.safeParse(entry.data);
      if (data === undefined) return { issues: error?.issues ?? [] };
      return { validated: { kind, ...toPlaced(data.metadata.name, entry.place, at), spec: data.spec }, issues: [] };
    }
    case 'PortForward': {
      const { data, error } = schemas.PortForward.safeParse(entry.data);
      if (data === undefined) return { issues: error?.issues ?? [] };
      return { validated: { kind, ...toPlaced(data.metadata.name, entry.place, at), spec: data.spec }, issues: [] };
    }
    case 'EgressRoute': {
      const { data, error } = schemas.EgressRoute.safeParse(entry.data);
      if (data === undefined) return { issues: error?.issues ?? [] };
      return { validated: { kind, ...toPlaced(data.metadata.name, entry.place, at), spec: data.spec }, issues: [] };
    }
    case 'Site':
    case 'DNSRecord':
      return { issues: schemas[kind].safeParse(entry.data).error?.issues ?? [] };
  }
}

const toPlaced = (name: string, place: EntryPlace, at: Position): Placed => ({
  place: toResource(name, place, at),
  problem: (code, path, what, meant) => {
    const steps = readPath(path);
    return { code, at: place.locate(steps), path: printPath([...place.base, ...steps]), what, ...withMeant(meant) };
  },
});

const withMeant = (meant: string | undefined): { readonly meant?: string } => (meant === undefined ? {} : { meant });

const toResource = (name: string, place: EntryPlace, at: Position): Resource => ({
  name,
  at,
  positionOf: (path) => place.locate(readPath(path)),
});

/**
 * A position that is looked up when it is first asked for: most resources never have to say where they stand. A class, because
 * getters that each object has for itself would be a third of what ten thousand resources take.
 */
class LaterPosition implements Position {
  readonly file: string;
  readonly #place: EntryPlace;
  readonly #path: Path;
  #found: Position | undefined;

  constructor(place: EntryPlace, path: Path) {
    this.file = place.file;
    this.#place = place;
    this.#path = path;
  }

  get line(): number {
    return this.#find().line;
  }

  get column(): number {
    return this.#find().column;
  }

  #find(): Position {
    this.#found ??= this.#place.locate(this.#path);
    return this.#found;
  }
}

function toHost({ metadata, spec }: HostDocument, place: EntryPlace, at: Position): HostResource {
  const { access, interfaces, ...rest } = spec;
  return {
    kind: 'Host',
    ...toResource(metadata.name, place, at),
    ...rest,
    access: toAccess(access),
    interfaces: interfaces.map(({ name, mac, ...declared }) => ({
      // The schema holds that one of them is given.
      match: name === undefined ? { mac: mac ?? '' } : { name },
      ...declared,
    })),
  };
}

function toAccess({ local, ssh, netns, http, agent, become }: HostDocument['spec']['access']): HostResource['access'] {
  const root = become === undefined ? {} : { become };
  if (local !== undefined) return { kind: 'local', ...root };
  if (ssh !== undefined) return { kind: 'ssh', ...ssh, ...root };
  if (netns !== undefined) return { kind: 'netns', ...netns };
  if (http !== undefined) return { kind: 'http', ...http };
  // The schema holds that one of them is given.
  if (agent === undefined) throw new TypeError('a host is reached in no way');
  return { kind: 'agent', ...agent };
}
