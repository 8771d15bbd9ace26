export type { LocalOptions } from './local.ts';
export { localTransport, NAMESPACE_STATES } from './local.ts';
export type { NamespaceOptions } from './namespace.ts';
export { namespaceTransport } from './namespace.ts';
export { missingProgram } from './programs.ts';
export { script } from './scripts.ts';
export type { Command, Output, Transport } from './transport.ts';
export { TransportError } from './transport.ts';
