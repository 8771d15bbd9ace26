/** The guide's table of clouds, from the data that the manifests are made of. */
import { CLOUDS, type CloudName, PLAIN_ASK, UNFIT_CLOUDS } from './clouds.ts';

const ASKED = {
  pod: "the pod's health port",
  service: 'a TCP port of the Service, on a node with a ready pod',
  node: 'kube-proxy on each node (`healthCheckNodePort`): is a ready pod there',
  nobody: 'nobody: no ready pod, no target',
} as const;

/** Markdown: a line a cloud, then a line an annotation with its source. */
export function printCloudTable(): string {
  const names = Object.keys(CLOUDS).filter((name): name is CloudName => Object.hasOwn(CLOUDS, name));
  const clouds = names.map((name) => {
    const { title, asks, keepsClient, notes } = CLOUDS[name];
    const known = notes.map(({ text, source }) => `${text} ([source](${source}))`).join('; ');
    return `| \`${name}\` | ${title} | ${ASKED[asks(PLAIN_ASK)]} | ${keepsClient ? 'yes' : 'no'} | ${known} |`;
  });
  const unfit = Object.entries(UNFIT_CLOUDS).map(
    ([name, { title, unfit: why, instead, source }]) =>
      `| \`${name}\` | ${title} | refused: ${why} ([source](${source})) | | ${instead} |`,
  );
  const annotations = names.flatMap((name) =>
    CLOUDS[name]
      .annotations({ ...PLAIN_ASK, addressPool: 'NAME' })
      .map((each) => `| \`${name}\` | \`${each.name}\` | \`${each.value}\` | [source](${each.source}) |`),
  );
  return [
    '| `--cloud` | balancer | who is asked for health | sees clients | to be known |',
    '|---|---|---|---|---|',
    ...clouds,
    ...unfit,
    '',
    '| `--cloud` | annotation | value unless asked otherwise | |',
    '|---|---|---|---|',
    ...annotations,
    '',
  ].join('\n');
}
