/** Node's HTTP, taken in when somebody is to be answered: 25 ms that no other command waits for. */

/**
 * Not by `import()`: that asks the module for each thing it exports, of which some (`WebSocket`) bring a client of another kind with them
 * (undici), 12 MiB that serve nobody here.
 */
export const nodeHttp = () => process.getBuiltinModule('node:http');
export const nodeHttps = () => process.getBuiltinModule('node:https');
