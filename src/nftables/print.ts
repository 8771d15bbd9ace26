import { printComment, printName, printNumber, printText, printWord } from './name.ts';
import { cannotWrite, isVerdict, neighbourPrinter, printVerdict } from './print-expression.ts';
import { printRule } from './print-statement.ts';
import type { Chain, DataType, Flowtable, MapElement, NamedMap, NamedSet, SetElement, Table } from './ruleset.ts';

/** More elements than this stand one per line. */
const elementsOnOneLine = 4;

/** A whole table as `nft -f` reads it and people do. Throws TypeError, naming the JSON, for what was only observed. */
export function printTable(table: Table): string {
  const [unmodelled] = table.opaque;
  if (unmodelled !== undefined) throw cannotWrite(unmodelled);
  const blocks = [
    ...(table.flowtables ?? []).map((each) => printBlock(`flowtable ${printName(each.name)}`, flowtableLines(each))),
    ...table.sets.map((set) => printBlock(`set ${printName(set.name)}`, printSetBody(set))),
    ...table.maps.map((map) => printBlock(`map ${printName(map.name)}`, printMapBody(map))),
    ...table.chains.map((chain) =>
      printBlock(`chain ${printName(chain.name)}`, [...headerLine(chain), ...chain.rules.map(printRule)]),
    ),
  ];
  const inner = blocks.map((lines) => lines.map((line) => `  ${line}\n`).join('')).join('\n');
  return `table ${table.family} ${printName(table.name)} {\n${inner}}\n`;
}

const printBlock = (head: string, body: readonly string[]): readonly string[] => [
  `${head} {`,
  ...body.map((line) => `  ${line}`),
  '}',
];

const headerLine = (chain: Chain): readonly string[] => {
  const header = printChainHeader(chain);
  return header === '' ? [] : [header];
};

/** `type nat hook prerouting priority -100; policy accept;`, or nothing for a chain without a hook. */
export function printChainHeader(chain: Chain): string {
  if (chain.kind === 'regular') return '';
  if (!Number.isInteger(chain.priority)) throw new TypeError(`not a whole number: ${chain.priority}`);
  const at = `type ${chain.type} hook ${chain.hook}${printDevices(chain.devices ?? [])} priority ${chain.priority};`;
  return `${at} policy ${chain.policy};`;
}

/** ` { hook ingress priority 0; devices = { eth0, eth1 }; counter; }`, with these devices and no others. */
export const printFlowtable = (flowtable: Flowtable): string => `{ ${flowtableLines(flowtable).join(' ')} }`;

const flowtableLines = ({ priority, devices, properties }: Flowtable): readonly string[] => [
  `hook ingress priority ${printNumber(priority)};`,
  ...(devices.length === 0 ? [] : [`devices = { ${devices.map(printText).join(', ')} };`]),
  ...(properties.includes('offload') ? ['flags offload;'] : []),
  ...(properties.includes('counter') ? ['counter;'] : []),
];

function printDevices(devices: readonly string[]): string {
  const [first, ...others] = devices;
  if (first === undefined) return '';
  return others.length === 0 ? ` device ${printText(first)}` : ` devices = { ${devices.map(printText).join(', ')} }`;
}

const printSetBody = (set: NamedSet): readonly string[] => [
  ...printSetHeader(set),
  ...printElements(set.elements.map(elementPrinter(set.type))),
];

const printMapBody = (map: NamedMap): readonly string[] => [
  ...printMapHeader(map),
  ...printElements(map.elements.map(elementPrinter(map.type, map.data))),
];

function printElements(elements: readonly string[]): readonly string[] {
  if (elements.length === 0) return [];
  if (elements.length <= elementsOnOneLine) return [`elements = { ${elements.join(', ')} }`];
  return ['elements = {', ...elements.map((element) => `  ${element},`), '}'];
}

/** The lines that make a set, without its elements. */
export const printSetHeader = (set: NamedSet): readonly string[] => [
  `type ${printType(set.type)}`,
  ...printProperties(set),
];

/** The lines that make a map, without its elements. */
export const printMapHeader = (map: NamedMap): readonly string[] => [
  `type ${printType(map.type)} : ${printType(map.data)}`,
  ...printProperties(map),
];

const printType = (type: DataType): string => type.map(printWord).join(' . ');

function printProperties({ flags, comment, extra }: NamedSet | NamedMap): readonly string[] {
  return [
    ...(flags.length === 0 ? [] : [`flags ${flags.map(printWord).join(',')}`]),
    ...Object.entries(extra ?? {}).map(([name, value]) => printExtra(name, value)),
    ...(comment === undefined ? [] : [`comment ${printComment(comment)}`]),
  ];
}

/** What `extra` of a set may hold and still be written; times are in seconds, as nft's JSON has them. */
function printExtra(name: string, value: unknown): string {
  switch (name) {
    case 'timeout':
    case 'gc-interval':
      if (typeof value === 'number') return `${name} ${printNumber(value)}s`;
      break;
    case 'size':
      if (typeof value === 'number') return `size ${printNumber(value)}`;
      break;
    case 'policy':
      if (typeof value === 'string') return `policy ${printWord(value)}`;
      break;
    case 'auto-merge':
      if (value === true) return name;
      break;
    case 'stmt':
      if (isPlainCounter(value)) return 'counter';
      break;
  }
  throw cannotWrite({ [name]: value });
}

/** `[{"counter": null}]`, with or without values: the one statement that we write for each element. */
function isPlainCounter(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 1) return false;
  const [statement]: readonly unknown[] = value;
  if (typeof statement !== 'object' || statement === null || !('counter' in statement)) return false;
  return typeof statement.counter !== 'string' && Object.keys(statement).length === 1;
}

/** `10.0.0.1 . tcp . 80 comment "web" : 10.9.9.9 . 8080`: nft wants the comment before the colon. */
export const printElement = (element: SetElement | MapElement): string => elementPrinter()(element);

/** Prints many of one set or map: what neighbours begin with is made once. */
export function elementPrinter(type?: DataType, data?: DataType): (element: SetElement | MapElement) => string {
  const [printKey, printTarget] = [neighbourPrinter(type), neighbourPrinter(data)];
  return (element) => {
    const key = `${printKey(element.key)}${printElementExtra(element)}`;
    if (!('data' in element)) return key;
    return `${key} : ${isVerdict(element.data) ? printVerdict(element.data) : printTarget(element.data)}`;
  };
}

function printElementExtra({ extra, comment }: SetElement | MapElement): string {
  const timeout = extra?.timeout;
  return `${typeof timeout === 'number' ? ` timeout ${printNumber(timeout)}s` : ''}${
    comment === undefined ? '' : ` comment ${printComment(comment)}`
  }`;
}
