export { linuxDriver, type SharedKernel } from './linux/driver.ts';
export { observedCommands } from './linux/observe.ts';
export { COLLECT_TABLES } from './linux/tables.ts';
