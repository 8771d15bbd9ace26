import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type BuildFailure, build, type Plugin } from 'esbuild';

const dist = 'dist';
const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };

/** Drawings bring a layout library: a file of its own beside the program, as reading it would be felt at every start. */
const drawing: Plugin = {
  name: 'drawing',
  setup({ onResolve }) {
    onResolve({ filter: /\/drawing\/index\.ts$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './drawing.js', external: true } : undefined,
    );
  },
};

// One file each: what only a rarer command imports dynamically lies in the same file and runs when first asked for.
// Identifiers keep their names, for stack traces. CommonJS packages (commander) call `require`, which an ES module has not.
const { outputFiles, metafile } = await build({
  entryPoints: {
    ...{ sallyport: 'src/cli/main.ts', wireguard: 'src/cli/main-wireguard.ts' },
    ...{ drawing: 'src/cli/drawing/index.ts', traffic: 'src/lab/traffic.ts' },
  },
  plugins: [drawing],
  outdir: dist,
  write: false,
  metafile: true,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  minifySyntax: true,
  minifyWhitespace: true,
  lineLimit: 160, // Node prints the whole line that threw
  legalComments: 'none',
  define: { 'process.env.SALLYPORT_VERSION': JSON.stringify(version) },
  banner: {
    js: "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);",
  },
}).catch((error: Error | BuildFailure) => {
  if ('errors' in error) process.exit(1); // esbuild has said what is wrong, and where
  throw error;
});

/** The license texts of the packages that went into the bundle, which their terms ask to be handed on with it. */
async function licenses(inputs: readonly string[]): Promise<string> {
  const folders = new Set(inputs.flatMap((path) => path.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0] ?? []));
  const texts = [...folders].sort().map(async (folder) => {
    return `${folder.replace(/^.*node_modules\//, '')}\n\n${await readFile(join(folder, 'LICENSE'), 'utf8')}`;
  });
  return (await Promise.all(texts)).join('\n----\n\n');
}

// Each file is renamed into place, so that a program that starts meanwhile reads the old or the new, never a half.
const files = [
  ...outputFiles.map(({ path, text }) => ({ name: basename(path), text })),
  { name: 'LICENSES.txt', text: await licenses(Object.keys(metafile.inputs)) },
];
await mkdir(dist, { recursive: true });
for (const { name, text } of files) {
  const unfinished = join(dist, `.${name}.${process.pid}`);
  try {
    await writeFile(unfinished, text);
    await rename(unfinished, join(dist, name));
  } finally {
    await rm(unfinished, { force: true });
  }
}
