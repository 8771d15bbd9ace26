export { type Activity, type Server, trafficProgram } from './agent.ts';
export { balancerState, type TargetState, udpTargets } from './balancer.ts';
export {
  BALANCER,
  BEHIND,
  behindBalancer,
  dial,
  endSidecar,
  HEALTH_PORT,
  INNER,
  STORY_CONF,
  startBehindBalancer,
  startSidecar,
  WORLD,
} from './behind-balancer.ts';
export type { Capture } from './capture.ts';
export {
  CommandError,
  patient,
  type Runner,
  type RunningCommand,
  type RunOptions,
  type RunResult,
  type SpawnOptions,
} from './command.ts';
export { LAB_FAULTS } from './faults/all.ts';
export { INSERT_ENTRIES } from './faults/conntrack-full.ts';
export {
  cable,
  type LabFault,
  makeTunnel,
  network,
  on,
  onTunnel,
  plug,
  unanswered,
  withSockets,
} from './faults/fault.ts';
export { ADVICE, HEALTH, KUBELET, NODE, POD, podNetwork, wgQuick } from './faults/pod.ts';
export { type FaultPlace, type LabDoctor, type Named, showFault, showNearMiss } from './faults/show.ts';
export { type Lab, type LabHost, labEntry, startLab } from './lab.ts';
export { type Machine, type MachineOptions, machineProblem, startMachine } from './machine.ts';
export { type Namespace, type NamespaceOptions, startNamespace } from './namespace.ts';
export type { Nginx, NginxOptions } from './nginx.ts';
export { startDocker, startFirewalld, startUfw } from './owners.ts';
export { type Packet, printPacket, readPcap } from './packet.ts';
export { labDown, labExec, labUp } from './persistent.ts';
export { powerOff, powerOn } from './power.ts';
export { RACK_EDGE, rack, rackAddress } from './rack.ts';
export type { Service } from './service.ts';
export { showNetwork } from './show-network.ts';
export { type SlimEdgeOptions, slimEdge } from './slim-edge.ts';
export { type Sshd, startSshd } from './sshd.ts';
export { type LabStory, storyNames, storyOf } from './stories.ts';
export { type DemoOptions, examplePath } from './telling.ts';
export { hasFlowtables, isInstalled, needTools } from './tools.ts';
export type { Cable, HostSpec, LeasedAddress, Plug, RouteSpec, SwitchSpec, Topology } from './topology.ts';
export type {
  ConnectOptions,
  ConnectResult,
  FlowsOptions,
  FlowsReport,
  Protocol,
  RepeatOptions,
  RepeatReport,
  Seen,
  ServeOptions,
} from './traffic.ts';
