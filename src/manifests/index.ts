export { printCloudTable } from './cloud-table.ts';
export type { CloudName } from './clouds.ts';
export { CLOUDS, isCloud, UNFIT_CLOUDS } from './clouds.ts';
export type { KubernetesObject } from './kubernetes.ts';
export { printJson, printYaml } from './kubernetes.ts';
export type { Manifests } from './nlb.ts';
export { nlbManifests } from './nlb.ts';
export type { NlbOptions } from './nlb-options.ts';
export { CONF_FOLDER, healthPortsOf } from './nlb-pod.ts';
