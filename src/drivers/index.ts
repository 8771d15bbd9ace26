export { linuxDriver, type SharedKernel } from './linux/driver.ts';
export { LINUX_SCRIPTS } from './linux/known-scripts.ts';
export { observedCommands, PROBE } from './linux/observe.ts';
export { restoreFrame } from './linux/restore.ts';
export { OBSERVED_SYSCTLS } from './linux/sysctls.ts';
export { COLLECT_TABLES } from './linux/tables.ts';
export { watchCommand } from './linux/watch.ts';
