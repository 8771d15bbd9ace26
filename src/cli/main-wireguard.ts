/**
 * The entry of `sallyport wireguard …`, which bin/sallyport takes for it: a pod has a small limit of memory, and the whole program is 10 MiB more
 * of it, of documents, planning and routers that no tunnel asks for.
 */
import { runProgram } from './command-line.ts';
import { wireguard } from './program-wireguard.ts';

process.exitCode = await runProgram(process.argv.slice(2), wireguard);
