import { slimEdge } from '../slim-edge.ts';
import { examplePath } from '../telling.ts';
import { type LabFault, on, unanswered } from './fault.ts';

const EDGE = '198.51.100.10';
const FILE = examplePath('slim-edge/edge.yaml');

export const reloadFlushedRules: LabFault = {
  code: 'reloadFlushedRules',
  title: "a reload of Debian's nftables.conf flushes everybody's rules",
  topology: slimEdge(),
  host: 'edge',
  async inject(lab, sallyport) {
    await lab.serve('node', { protocol: 'tcp', port: 8080 });
    await lab.run([...sallyport, 'apply', '-f', FILE, '--yes'], { timeoutMs: 60_000 });
    // The first lines of the file as the package brings it; nftables.service loads it with `nft -f`.
    await on(lab, 'edge', "printf 'flush ruleset\\ntable inet filter {\\n}\\n' | nft -f -");
  },
  symptom: (lab) => unanswered(lab, 'client', EDGE, 80),
  documents: FILE,
  nearMisses: [
    {
      title: 'a reload that replaces its own table alone',
      async make(lab, sallyport) {
        await lab.run([...sallyport, 'apply', '-f', FILE, '--yes'], { timeoutMs: 60_000 });
        await on(
          lab,
          'edge',
          "printf 'table inet filter\\ndelete table inet filter\\ntable inet filter {\\n}\\n' | nft -f -",
        );
      },
    },
  ],
};
