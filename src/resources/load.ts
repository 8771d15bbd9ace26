import { checkClaims, type PlacedForward } from './claims.ts';
import { toEgress } from './egress.ts';
import { joinKey, type Known, toForward } from './forwards.ts';
import { nearest } from './nearest.ts';
import { compareProblems, type Problem, printPosition } from './problem.ts';
import { readEntries, type SourceText } from './read.ts';
import type { HostResource, PortForwardResource, ResourceSet, TunnelResource } from './resource.ts';
import { checkTunnelsTogether, toTunnel } from './tunnels.ts';
import {
  danglingReference,
  type Identity,
  type PlacedReference,
  type ProblemMaker,
  type Validated,
  validateEntry,
} from './validate.ts';

export interface Loaded {
  /** Left out where there is any problem. */
  readonly set?: ResourceSet;
  /** All problems of all texts, sorted by file, line and column. */
  readonly problems: readonly Problem[];
}

/**
 * Reads all documents of all texts and holds them against the schema and against each other. Pure; says all problems at once. `known`: kinds
 * that are taken though they cannot be carried out yet.
 */
export function loadResources(texts: readonly SourceText[], known?: ReadonlySet<'EgressRoute'>): Loaded {
  const problems: Problem[] = [];
  const identities: Identity[] = [];
  const documents: Validated[] = [];
  const references: PlacedReference[] = [];
  for (const text of texts) {
    for (const entry of readEntries(text, problems)) {
      const { identity, validated, references: named, problems: found } = validateEntry(entry, known);
      references.push(...named);
      if (identity !== undefined) identities.push(identity);
      if (validated !== undefined) documents.push(validated);
      problems.push(...found);
    }
  }
  addAll(problems, duplicateNames(identities));
  addAll(problems, danglingReferences(references, identities));
  const set = checkTogether(documents, identities, problems);
  problems.sort(compareProblems);
  return problems.length === 0 ? { set, problems } : { problems };
}

/** Spread into push, a hundred thousand arguments exhaust the stack. */
function addAll(problems: Problem[], found: readonly Problem[]): void {
  for (const problem of found) problems.push(problem);
}

function duplicateNames(identities: readonly Identity[]): readonly Problem[] {
  const first = new Map<string, Identity>();
  const problems: Problem[] = [];
  for (const identity of identities) {
    const { kind, name, at, path } = identity;
    const other = first.get(`${kind} ${name}`);
    if (other === undefined) first.set(`${kind} ${name}`, identity);
    else {
      const what = `${kind} ${name} is already declared at ${printPosition(other.at)}`;
      const { file, line, column } = at; // read now, as a problem is shown by its own fields
      problems.push({ code: 'duplicateName', at: { file, line, column }, path, what });
    }
  }
  return problems;
}

function danglingReferences(
  references: readonly PlacedReference[],
  identities: readonly Identity[],
): readonly Problem[] {
  const names = { Host: namesOf(identities, 'Host'), Tunnel: namesOf(identities, 'Tunnel') };
  return references.flatMap((reference) => {
    const { kind, name } = reference;
    return names[kind].has(name) ? [] : [danglingReference(reference, nearest(name, names[kind]))];
  });
}

const namesOf = (identities: readonly Identity[], kind: Identity['kind']): ReadonlySet<string> =>
  new Set(identities.flatMap((identity) => (identity.kind === kind ? [identity.name] : [])));

/** What no document tells alone: references, tunnels and forwards that take from each other. Adds to `problems`. */
function checkTogether(
  documents: readonly Validated[],
  identities: readonly Identity[],
  problems: Problem[],
): ResourceSet {
  const hostNames = namesOf(identities, 'Host');
  const hosts = new Map<string, HostResource>();
  const tunnels: { readonly tunnel: TunnelResource; readonly problem: ProblemMaker }[] = [];
  for (const document of documents) {
    if (document.kind === 'Host') hosts.set(document.resource.name, document.resource);
    if (document.kind !== 'Tunnel') continue;
    const tunnel = toTunnel(document, problems);
    if (tunnel !== undefined) tunnels.push({ tunnel, problem: document.problem });
  }
  addAll(
    problems,
    checkTunnelsTogether(tunnels, ({ name, at }) => `${name} (${printPosition(at)})`),
  );
  const known = knownOf(
    hostNames,
    namesOf(identities, 'Tunnel'),
    tunnels.map(({ tunnel }) => tunnel),
  );
  const placed: PlacedForward[] = [];
  const forwards = new Map<string, PortForwardResource>();
  for (const document of documents) {
    if (document.kind !== 'PortForward') continue;
    const forward = toForward(document, known, problems);
    if (forward === undefined) continue;
    placed.push({ forward, problem: document.problem });
    forwards.set(forward.name, forward);
  }
  addAll(problems, checkClaims(placed, hosts, known.tunnels.values()));
  const egress = documents.flatMap((each) => (each.kind === 'EgressRoute' ? [toEgress(each)] : []));
  return {
    ...{ hosts, tunnels: known.tunnels, forwards },
    ...(egress.length > 0 && { egress: new Map(egress.map((each) => [each.name, each])) }),
  };
}

function knownOf(
  hostNames: ReadonlySet<string>,
  tunnelNames: ReadonlySet<string>,
  found: readonly TunnelResource[],
): Known {
  const tunnels = new Map(found.map((tunnel) => [tunnel.name, tunnel]));
  const joining = new Map<string, TunnelResource[]>();
  for (const tunnel of tunnels.values()) {
    const [left, right] = tunnel.ends;
    const key = joinKey(left.host, right.host);
    const others = joining.get(key);
    if (others === undefined) joining.set(key, [tunnel]);
    else others.push(tunnel);
  }
  return { hostNames, tunnelNames, tunnels, joining };
}
