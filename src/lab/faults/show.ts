/** Shows a fault from end to end: built, seen, named, mended, gone. */
import type { HostChange } from '../../host/index.ts';
import type { Lab } from '../lab.ts';
import { type LabFault, type NearMiss, startStage } from './fault.ts';

/** A finding of `doctor -o json`, as far as it matters here. */
export interface Named {
  readonly code: string;
  readonly severity: string;
  readonly summary: string;
  readonly evidence: readonly string[];
  readonly tried?: readonly string[];
  readonly fix: readonly string[];
  /** Of a doctor in this process: the changes by which it is carried out. */
  readonly steps?: readonly { readonly changes?: readonly HostChange[] }[];
}

/** Whom a fault is shown to; `within` goes before its argument vectors. */
export interface LabDoctor {
  look(lab: Lab, at: FaultPlace, within: readonly string[]): Promise<readonly Named[]>;
  /** `doctor --fix CODE --yes`: what it carried out, and what it leaves to a person. */
  fix(lab: Lab, at: FaultPlace): Promise<Mended>;
}

export type FaultPlace = Pick<LabFault, 'code' | 'host' | 'machine'>;

export interface Mended {
  readonly done: readonly string[];
  readonly left: readonly string[];
}

export interface ShowOptions {
  /** How this command line is started: `[process.execPath, '…/sallyport.js']`. */
  readonly sallyport: readonly string[];
  /** Takes the text, whole lines. */
  readonly out: (text: string) => void;
  readonly signal?: AbortSignal;
  /** In place of the command line. */
  readonly doctor?: LabDoctor;
  /** Before the diagnosis. */
  readonly beforeLook?: (lab: Lab) => Promise<void>;
  /** Between the diagnosis and the fix. */
  readonly beforeFix?: (lab: Lab, named: Named) => Promise<void>;
}

export interface Shown {
  readonly symptom: string;
  /** What `doctor` says of it. */
  readonly named: Named;
  /** Other findings of severity error. */
  readonly others: readonly Named[];
  /** What `doctor --fix` carried out. */
  readonly done: readonly string[];
  readonly lookMs: number;
}

/** Throws where any step of it does not come out. */
export async function showFault(fault: LabFault, options: ShowOptions): Promise<Shown> {
  const { out, doctor = doctorByCommand(options) } = options;
  const { within = [] } = fault;
  await using lab = await startStage(fault);
  out(`── ${fault.code}: ${fault.title}\n`);
  await fault.inject(lab, options.sallyport);
  const symptom = await fault.symptom(lab);
  if (symptom === undefined) throw new Error(`${fault.code}: nothing is seen of it`);
  out(`seen     ${symptom}\n`);
  await options.beforeLook?.(lab);
  const began = performance.now();
  const found = await doctor.look(lab, fault, within);
  const lookMs = performance.now() - began;
  const named = found.find(({ code }) => code === fault.code);
  if (named === undefined) throw new Error(`${fault.code}: doctor does not name it: ${JSON.stringify(found)}`);
  out(`doctor   ${named.severity} ${named.code}: ${named.summary}\n`);
  for (const line of named.evidence) out(`         ${line}\n`);
  await options.beforeFix?.(lab, named);
  const done = await mend(lab, fault, named, { ...options, doctor });
  const left = await fault.symptom(lab);
  if (left !== undefined) throw new Error(`${fault.code}: after the fix: ${left}`);
  // What was mended by doctor it has looked at again itself.
  const after = done.length > 0 ? [] : await doctor.look(lab, fault, within);
  const still = after.find(({ code }) => code === fault.code);
  if (still !== undefined) throw new Error(`${fault.code}: doctor still names it: ${JSON.stringify(still)}`);
  out('gone     nothing is seen of it any more, and doctor no longer names it\n');
  return {
    symptom,
    named,
    done,
    lookMs,
    others: found.filter(({ code, severity }) => code !== fault.code && severity === 'error'),
  };
}

/** What doctor finds of errors and warnings where only something alike stands. */
export async function showNearMiss(fault: LabFault, miss: NearMiss, options: ShowOptions): Promise<readonly Named[]> {
  const { doctor = doctorByCommand(options) } = options;
  await using lab = await startStage(miss.machine === undefined ? fault : { ...fault, machine: miss.machine });
  await miss.make(lab, options.sallyport);
  return (await doctor.look(lab, fault, miss.within ?? [])).filter(({ severity }) => severity !== 'info');
}

/** By `doctor --fix` where it can, else by hand what the finding says, or what stands in its place. */
async function mend(
  lab: Lab,
  fault: LabFault,
  named: Named,
  options: ShowOptions & { readonly doctor: LabDoctor },
): Promise<readonly string[]> {
  const { first, typed, instead, documents, code } = fault;
  if (documents !== undefined) {
    const argv = ['doctor', '-f', documents, '--fix', code, '--yes'];
    options.out(`fix      sallyport ${argv.join(' ')}\n`);
    await lab.run([...options.sallyport, ...argv], { timeoutMs: 60_000 });
    return argv;
  }
  const byHand = async (line: string): Promise<void> => {
    options.out(`by hand  ${line}\n`);
    await runMend(lab, fault, line);
  };
  for (const line of first?.commands ?? []) await byHand(line);
  const byPerson = typed === undefined ? instead?.commands : named.fix;
  const { done, left } = byPerson === undefined ? await options.doctor.fix(lab, fault) : { done: [], left: byPerson };
  for (const line of done) options.out(`fix      ${line}\n`);
  for (const line of left) if (!line.startsWith('#')) await byHand(line);
  return done;
}

const doctorByCommand = ({ sallyport, signal }: ShowOptions): LabDoctor => {
  const ask = async <T>(lab: Lab, argv: readonly string[], wants: (said: object) => said is T & object): Promise<T> => {
    const { stdout, stderr } = await lab.run(argv, {
      allowFailure: true,
      timeoutMs: 60_000,
      cwd: process.cwd(),
      ...(signal && { signal }),
    });
    const said: unknown = stdout === '' ? undefined : JSON.parse(stdout);
    if (typeof said !== 'object' || said === null || !wants(said)) throw new Error(`doctor: ${stderr}`);
    return said;
  };
  const doctor = ({ host, machine }: FaultPlace): readonly string[] => [
    ...[...sallyport, 'doctor', '-o', 'json'],
    ...(machine === undefined ? ['--netns', host] : []),
  ];
  return {
    async look(lab, at, within) {
      const isReport = (said: object): said is { readonly findings: readonly Named[] } => 'findings' in said;
      return (await ask(lab, [...within, ...doctor(at)], isReport)).findings;
    },
    async fix(lab, at) {
      const isMended = (said: object): said is Mended => 'done' in said && 'left' in said;
      return await ask(lab, [...doctor(at), '--fix', at.code, '--yes'], isMended);
    },
  };
};

/** A command of a finding, where the sockets of the host's wireguard-go are. */
const runMend = (lab: Lab, { host, machine }: FaultPlace, line: string) =>
  (machine === undefined ? lab.host(host) : lab).run([
    ...['unshare', '--mount', 'sh', '-ec'],
    `d=/run/sallyport/netns/$(stat -L -c %i /proc/self/ns/net)/wireguard
if [ -d "$d" ]; then mkdir -p /run/wireguard; mount -n --bind "$d" /run/wireguard; fi
${line}`,
  ]);
