/** Which documents hold: the last ones that were good, until others are read that are good on what stands on the hosts. */
import type { ManagedHost } from '../../apply/index.ts';
import type { HostFacts } from '../../host/index.ts';
import { printProblem, type ResourceSet } from '../../resources/index.ts';
import { TransportError } from '../../transport/index.ts';
import { aimOfSet, requireNobodyLeft } from '../aims.ts';
import { InputProblems } from '../exit.ts';
import { manage, requireDistinct } from '../hosts.ts';
import { loadSet } from '../load.ts';
import { lookForUsers, type ProofFlags, provePlan, requirePromises } from '../proof.ts';
import type { Keeper } from './keeper.ts';
import type { Log } from './log.ts';
import type { AimedPart } from './wanted.ts';

export interface DocumentFlags extends ProofFlags {
  readonly file: readonly string[];
  readonly set: string;
  readonly forget?: readonly string[];
}

export interface InForce {
  /** Reads the files. Throws InputProblems where they are wrong; nothing has changed then. */
  read(): Promise<void>;
  /** The same for files that changed: what is wrong with them is said. */
  readAgain(): Promise<void>;
  /** A host was seen: documents that waited for that may be taken up. Throws where the first ones cannot be. */
  consider(): Promise<void>;
  /** The documents that hold. */
  readonly set: () => ResourceSet | undefined;
  /** How often changed ones were not taken up. */
  readonly refused: () => number;
}

interface Around {
  readonly keeper: Keeper;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** What is wanted by documents that hold. */
  readonly aim: (set: ResourceSet) => readonly AimedPart[];
}

/** Nothing holds before `read`. */
export function documentsInForce(flags: DocumentFlags, { keeper, log, signal, aim }: Around): InForce {
  let inForce: ResourceSet | undefined;
  let candidate: ResourceSet | undefined;
  let managed: ReadonlyMap<string, Placed> = new Map();
  let waitsFor = '';
  let refused = 0;

  const read = async (): Promise<void> => {
    const set = await loadSet(flags.file);
    requireDistinct(set);
    managed = place(set, managed);
    candidate = set;
    // Those that leave are kept until the documents without them hold.
    const hosts = [...managed.values()].map((each) => each.host);
    keeper.keep(hosts);
  };

  const consider = async (): Promise<void> => {
    const set = candidate;
    if (set === undefined || signal.aborted) return;
    const seen = new Map(keeper.hosts().flatMap(({ name, facts }) => (facts ? [[name, facts] as const] : [])));
    const missing = [...set.hosts.keys()].filter((name) => !seen.has(name));
    if (missing.length > 0) return tellWaiting(missing);
    const facts = new Map([...seen].filter(([name]) => set.hosts.has(name)));
    const hosts = [...managed.values()].flatMap(({ host }) => (set.hosts.has(host.name) ? [host] : []));
    const reachable = new Set(keeper.hosts().flatMap(({ name, reachable: answers }) => (answers ? [name] : [])));
    candidate = undefined;
    let accepted: readonly string[];
    try {
      accepted = await requireGood(
        set,
        flags,
        facts,
        hosts.filter(({ name }) => reachable.has(name)),
        signal,
      );
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      candidate ??= set; // a host went away while it was asked: again when it answers
      return;
    }
    if (candidate !== undefined) return; // changed once more meanwhile
    inForce = set;
    waitsFor = '';
    managed = new Map([...managed].filter(([name]) => set.hosts.has(name)));
    keeper.keep(hosts);
    for (const line of accepted) log('warn', 'documents', line);
    log('info', 'documents', `the documents hold: ${count(set)}`);
    keeper.aim(aim(set));
  };

  const tellWaiting = (missing: readonly string[]): void => {
    const names = missing.join(', ');
    if (waitsFor === names) return;
    waitsFor = names;
    const meanwhile = inForce === undefined ? 'each host is kept as its record says' : 'those from before hold';
    log('info', 'waiting', `the documents wait until ${names} was seen once; until then ${meanwhile}`);
  };

  const tellRefused = (error: unknown): void => {
    if (signal.aborted) return;
    const lines =
      error instanceof InputProblems
        ? error.problems.map(printProblem)
        : [error instanceof Error ? error.message : String(error)];
    for (const line of lines) log('error', 'refused', line);
    log('error', 'refused', 'the documents that changed are not taken up: those from before hold');
    candidate = undefined;
    refused += 1;
  };

  return {
    read,
    async readAgain() {
      try {
        await read();
        await consider();
      } catch (error) {
        tellRefused(error);
      }
    },
    async consider() {
      const isFirst = inForce === undefined;
      try {
        await consider();
      } catch (error) {
        if (isFirst) throw error;
        tellRefused(error);
      }
    },
    set: () => inForce,
    refused: () => refused,
  };
}

interface Placed {
  readonly key: string;
  readonly host: ManagedHost;
}

/** The hosts of the set and those from before; one that is reached as before stays the very object. */
function place(set: ResourceSet, before: ReadonlyMap<string, Placed>): ReadonlyMap<string, Placed> {
  const placed = new Map(before);
  for (const host of set.hosts.values()) {
    const key = JSON.stringify([host.access, host.at.file]);
    if (before.get(host.name)?.key !== key) placed.set(host.name, { key, host: manage(host, host.at.file) });
  }
  return placed;
}

/** As apply asks before it changes anything. Gives what was accepted though it does not hold. */
async function requireGood(
  set: ResourceSet,
  flags: DocumentFlags,
  facts: ReadonlyMap<string, HostFacts>,
  reachable: readonly ManagedHost[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  requireNobodyLeft(set, flags.set, facts, flags.forget ?? []);
  const compiled = aimOfSet(set, flags.set)(facts);
  if (compiled.problems.length > 0) throw new InputProblems(compiled.problems);
  const seen = await lookForUsers(reachable, signal);
  return requirePromises(provePlan(set, compiled, facts, { traces: false, seen }), flags);
}

const count = ({ hosts, tunnels, forwards }: ResourceSet): string =>
  [
    [hosts.size, 'host'],
    [tunnels.size, 'tunnel'],
    [forwards.size, 'forward'],
  ]
    .map(([number, what]) => `${number} ${what}${number === 1 ? '' : 's'}`)
    .join(', ');
