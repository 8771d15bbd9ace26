/**
 * A program of its own, so that every run starts as cold as the command line does: `node stages.ts FILE FOLDER` carries out an apply of
 * FILE step by step and tells the milliseconds of each as JSON on stdout. FOLDER gets rules.nft, the table as text, and
 * transaction.nft, what nft was given.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { armHost, confirmAll, type ManagedHost, observeAll } from '../src/apply/index.ts';
import { saveMemory } from '../src/cli/memory.ts';
import { compile } from '../src/compile/index.ts';
import { linuxDriver } from '../src/drivers/index.ts';
import type { HostFacts } from '../src/host/index.ts';
import { printTable, printTransaction, type RulesetChange } from '../src/nftables/index.ts';
import { type HostChange, planHost } from '../src/plan/index.ts';
import { loadResources } from '../src/resources/index.ts';
import { readSource } from '../src/sources/index.ts';
import { namespaceTransport } from '../src/transport/index.ts';
import { verifyPlan } from '../src/verify/index.ts';

/** Milliseconds by stage, in the order they come. */
const taken: Record<string, number> = {};
let since = performance.now();
/** Ends a stage: the next begins now. */
function ends(stage: string): void {
  taken[stage] = performance.now() - since;
  since = performance.now();
}

const [file = '', folder = ''] = process.argv.slice(2);
const signal = new AbortController().signal;

const { texts } = await readSource([file], { stdin: process.stdin });
saveMemory(texts.reduce((sum, { text }) => sum + text.length, 0));
const { set, problems } = loadResources(texts);
if (set === undefined || problems.length > 0) throw new Error(problems.map(({ what }) => what).join('\n'));
ends('read');

const managed = [...set.hosts.keys()].map((name): ManagedHost => {
  const transport = namespaceTransport(name, name);
  return { name, transport, driver: linuxDriver(transport) };
});
const facts = new Map<string, HostFacts>();
for (const [name, seen] of await observeAll(managed, signal)) {
  if (seen.kind === 'unreachable') throw new Error(`${name}: ${seen.reason}`);
  facts.set(name, seen.facts);
}
ends('observe');

const compiled = compile(set, facts, { setName: 'default', version: 'bench' });
if (compiled.problems.length > 0) throw new Error(compiled.problems.map(({ what }) => what).join('\n'));
ends('compile');

const promises = verifyPlan({ set, compiled, facts, traces: false });
const broken = promises.filter(({ holds }) => holds === false);
if (broken.length > 0) throw new Error(broken.map(({ promise }) => promise).join('\n'));
ends('verify');

const plans = new Map<string, readonly HostChange[]>();
for (const [name, wanted] of compiled.hosts) {
  const known = facts.get(name);
  if (known !== undefined) plans.set(name, planHost(known, wanted));
}
ends('plan');

const armed = await Promise.all(
  managed.map((host) => {
    const known = facts.get(host.name);
    if (known === undefined) throw new Error(`${host.name} was not seen`);
    const plan = { changes: plans.get(host.name) ?? [], facts: known };
    return armHost(host, plan, { command: 'apply', generation: 1, windowMs: 30_000, signal });
  }),
);
ends('arm');

for (const each of armed) await each.managed.driver.apply(plans.get(each.managed.name) ?? [], { signal, armed: each });
ends('apply');

const { failures } = await confirmAll(armed, async () => false);
if (failures.length > 0) throw new Error(failures.join('\n'));
ends('confirm');

const rulesetChange = (change: HostChange): readonly RulesetChange[] => {
  switch (change.action) {
    case 'add':
      return change.after.kind === 'nft' ? [{ action: 'add', after: change.after.object }] : [];
    case 'remove':
      return change.before.kind === 'nft' ? [{ action: 'remove', before: change.before.object }] : [];
    case 'change':
      return change.before.kind === 'nft' && change.after.kind === 'nft'
        ? [{ action: 'change', before: change.before.object, after: change.after.object }]
        : [];
  }
};
const tables = [...compiled.hosts.values()].flatMap(({ state }) => state.tables);
writeFileSync(join(folder, 'rules.nft'), tables.map(printTable).join('\n'));
writeFileSync(join(folder, 'transaction.nft'), printTransaction([...plans.values()].flat().flatMap(rulesetChange)));
process.stdout.write(JSON.stringify(taken));
