export type { Source, SourceStreams } from './files.ts';
export { readSource } from './files.ts';
