/**
 * `node small-edge.ts FOLDER`: what the small edge in the VM is given. `edge.yaml`, ten forwards and the room for connections, for
 * bin/sallyport there; `forwards.nft`, the transaction that makes fifty thousand of them: the very text a driver would send, made here
 * because a command line that reads fifty thousand documents is no part of an edge.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manyForwards } from '../../bench/documents.ts';
import { compile, declaredFacts } from '../../src/compile/index.ts';
import { diffTable, printTransaction, type Table } from '../../src/nftables/index.ts';
import { loadResources, printProblem } from '../../src/resources/index.ts';

const HOST = `  access: { local: {} }
  conntrack: { max: 131072 }
  interfaces:
    - { name: eth0, zone: public, addresses: [198.51.100.10/24] }
    - { name: priv0, zone: private, addresses: [172.31.0.1/24] }
`;
const documents = (count: number): string => manyForwards(count).replace(/ {2}access: [^-]*- .*\n/, HOST);

function tableOf(text: string): Table | undefined {
  const { set, problems } = loadResources([{ name: 'edge.yaml', text }]);
  if (set === undefined) throw new Error(problems.map(printProblem).join('\n'));
  const facts = new Map([...set.hosts].map(([name, host]) => [name, declaredFacts(host)] as const));
  const compiled = compile(set, facts, { setName: 'default', version: '' });
  if (compiled.problems.length > 0) throw new Error(compiled.problems.map(printProblem).join('\n'));
  return compiled.hosts.get('edge')?.state.tables[0];
}

const [folder = '.'] = process.argv.slice(2);
const [few, many] = [documents(10), documents(50_000)];
writeFileSync(join(folder, 'edge.yaml'), few);
writeFileSync(join(folder, 'forwards.nft'), printTransaction(diffTable(tableOf(few), tableOf(many))));
