export { linuxDriver, type SharedKernel } from './linux/driver.ts';
