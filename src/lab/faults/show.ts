/** Shows a fault from end to end: built, seen, named, mended, gone. */
import { type Lab, startLab } from '../lab.ts';
import type { LabFault, NearMiss } from './fault.ts';

/** A finding of `doctor -o json`, as far as it matters here. */
export interface Named {
  readonly code: string;
  readonly severity: string;
  readonly summary: string;
  readonly evidence: readonly string[];
  readonly fix: readonly string[];
}

/** Whom a fault is shown to; `within` goes before its argument vectors. */
export type LabDoctor = (lab: Lab, host: string, within: readonly string[]) => Promise<readonly Named[]>;

export interface ShowOptions {
  /** How this command line is started: `[process.execPath, '…/sallyport.js']`. */
  readonly sallyport: readonly string[];
  /** Takes the text, whole lines. */
  readonly out: (text: string) => void;
  readonly signal?: AbortSignal;
  /** In place of `sallyport doctor --netns HOST`. */
  readonly doctor?: LabDoctor;
}

export interface Shown {
  readonly symptom: string;
  /** What `doctor` says of it. */
  readonly named: Named;
  /** Other findings of severity error. */
  readonly others: readonly Named[];
}

/** Throws where any step of it does not come out. */
export async function showFault(fault: LabFault, options: ShowOptions): Promise<Shown> {
  const { out, doctor = doctorByCommand(options) } = options;
  const { host, within = [] } = fault;
  await using lab = await startLab(fault.topology);
  out(`── ${fault.code}: ${fault.title}\n`);
  await fault.inject(lab, options.sallyport);
  const symptom = await fault.symptom(lab);
  if (symptom === undefined) throw new Error(`${fault.code}: nothing is seen of it`);
  out(`seen     ${symptom}\n`);
  const found = await doctor(lab, host, within);
  const named = found.find(({ code }) => code === fault.code);
  if (named === undefined) throw new Error(`${fault.code}: doctor does not name it: ${JSON.stringify(found)}`);
  out(`doctor   ${named.severity} ${named.code}: ${named.summary}\n`);
  for (const line of named.evidence) out(`         ${line}\n`);
  for (const line of fault.fix ?? named.fix) {
    out(`fix      ${line}\n`);
    const [program, ...rest] = line.split(' ');
    if (program === 'sallyport') await lab.run([...options.sallyport, ...rest], { timeoutMs: 60_000 });
    else await mend(lab, host, line);
  }
  const left = await fault.symptom(lab);
  if (left !== undefined) throw new Error(`${fault.code}: after the fix: ${left}`);
  const after = await doctor(lab, host, within);
  const still = after.find(({ code, severity }) => code === fault.code && severity === 'error');
  if (still !== undefined) throw new Error(`${fault.code}: doctor still names it: ${JSON.stringify(still)}`);
  out('gone     nothing is seen of it any more, and doctor no longer names it\n');
  return {
    symptom,
    named,
    others: found.filter(({ code, severity }) => code !== fault.code && severity === 'error'),
  };
}

/** What doctor finds of errors and warnings where only something alike stands. */
export async function showNearMiss(fault: LabFault, miss: NearMiss, options: ShowOptions): Promise<readonly Named[]> {
  const { doctor = doctorByCommand(options) } = options;
  await using lab = await startLab(fault.topology);
  await miss.make(lab, options.sallyport);
  return (await doctor(lab, fault.host, miss.within ?? [])).filter(({ severity }) => severity !== 'info');
}

const doctorByCommand =
  ({ sallyport, signal }: ShowOptions): LabDoctor =>
  async (lab, host, within) => {
    const { stdout, stderr } = await lab.run([...within, ...sallyport, 'doctor', '--netns', host, '-o', 'json'], {
      allowFailure: true,
      timeoutMs: 30_000,
      cwd: process.cwd(),
      ...(signal && { signal }),
    });
    const said: { readonly findings?: readonly Named[] } = stdout === '' ? {} : JSON.parse(stdout);
    if (said.findings === undefined) throw new Error(`doctor says nothing: ${stderr}`);
    return said.findings;
  };

/** A command of a finding, where the sockets of the host's wireguard-go are. */
const mend = (lab: Lab, host: string, line: string) =>
  lab.host(host).run([
    ...['unshare', '--mount', 'sh', '-ec'],
    `d=/run/sallyport/netns/$(stat -L -c %i /proc/self/ns/net)/wireguard
if [ -d "$d" ]; then mkdir -p /run/wireguard; mount -n --bind "$d" /run/wireguard; fi
${line}`,
  ]);
