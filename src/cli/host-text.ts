/** A look at a host, for people. */
import type { HostLook } from './host-look.ts';
import { type Installation, notesOf, planInstallation } from './host-packages.ts';

/** A clock that is off by less is nobody's trouble. */
const CLOCK_SECONDS = 30;

/** What was found, a line each. `host`: as it is called on the command line. */
export function lookLines(name: string, look: HostLook, host: string, file: string | undefined): readonly string[] {
  const { distribution, kernel, user, root, missing } = look;
  const plan = planInstallation(look);
  const rights =
    root === 'root'
      ? 'root'
      : root === 'sudo'
        ? `${user}, who becomes root by sudo without a password`
        : `${user}, who cannot become root: ${root.refused}`;
  return [
    `${name}: ${distribution}, Linux ${kernel}, ${rights}`,
    ...(missing.length === 0 ? [`${name}: nothing is missing`] : [`${name}: missing: ${missingText(look, plan)}`]),
    ...(missing.length === 0
      ? []
      : [
          `${name}: sallyport host prepare ${host}${file === undefined ? '' : ` -f ${file}`} ${plan.isTried ? 'installs it' : 'shows how to install it'}`,
        ]),
    ...warnings(name, look),
  ];
}

/** `nft (package nftables), wg (package wireguard-tools)`. */
function missingText({ missing, packaging }: HostLook, { unknown }: Installation): string {
  const of = (program: string): string => {
    if (unknown.includes(program)) return program;
    const { packages } = planInstallation({ missing: [program], packaging });
    return `${program} (package ${packages.join(', ')})`;
  };
  return missing.map(of).join(', ');
}

/** What is missing and what installs it. */
export function printPreparation(name: string, look: HostLook, plan: Installation): string {
  const head = `${name}: ${look.distribution}, Linux ${look.kernel}`;
  if (look.missing.length === 0) return `${head}: nothing is missing\n`;
  const { commands, unknown, isTried } = plan;
  const how = isTried ? 'to be run there:' : 'not run by Sallyport, and not tried: run there as root';
  return [
    head,
    `  missing: ${missingText(look, plan)}`,
    ...(unknown.length === 0 ? [] : [`  no package is known for ${unknown.join(', ')}: install what has it`]),
    ...(commands.length === 0 ? [] : [`  ${how}`, ...commands.map((command) => `    ${command}`)]),
    ...notesOf(plan).map((note) => `  ${note}`),
    '',
  ].join('\n');
}

function warnings(name: string, { isReadOnly, clockAheadSeconds, root }: HostLook): readonly string[] {
  const off = Math.abs(clockAheadSeconds);
  return [
    ...(isReadOnly ? [`${name}: its root file system is read-only: nothing can be kept there`] : []),
    ...(off > CLOCK_SECONDS
      ? [`${name}: its clock is ${inWords(off)} ${clockAheadSeconds > 0 ? 'ahead of' : 'behind'} this machine's`]
      : []),
    ...(root === 'sudo' ? [`${name}: write become: sudo beside ssh`] : []),
  ];
}

const inWords = (seconds: number): string =>
  seconds < 120
    ? `${seconds} s`
    : seconds < 7_200
      ? `${Math.round(seconds / 60)} min`
      : `${Math.round(seconds / 3_600)} h`;
