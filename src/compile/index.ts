export type { Compiled, CompiledHost, CompileOptions } from './compile.ts';
export { compile, compileRemoval } from './compile.ts';
export { declaredFacts } from './declared.ts';
export type { PublicAddress } from './view.ts';
