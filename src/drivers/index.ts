export { linuxDriver } from './linux/driver.ts';
