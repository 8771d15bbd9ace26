/** A place in a source; line and column count from 1, the column in UTF-16 units. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** What can be wrong with input, a closed union: programs that read `-o json` branch on it. */
export type ProblemCode =
  | 'unreadable' // the file, not its text
  | 'syntax'
  | 'ambiguousYaml' // YAML 1.1, which kubectl reads, and YAML 1.2 disagree
  | 'duplicateKey'
  | 'unknownVersion'
  | 'unknownKind'
  | 'unknownField'
  | 'missingField'
  | 'wrongType'
  | 'wrongValue'
  | 'notYetSupported'
  | 'duplicateName'
  | 'danglingReference'
  | 'badTunnel'
  | 'mixedFamilies'
  | 'rangeLength'
  | 'claimedTwice'
  | 'reservedPort'
  | 'cannotBe'; // right by itself, but not on these hosts

/** One thing wrong with the input: where, what, and the nearest right word where there is one. */
export interface Problem {
  readonly code: ProblemCode;
  readonly at: Position;
  /** The field, as `spec.ports[0].port`; empty where the whole file or document is meant. */
  readonly path: string;
  readonly what: string;
  readonly meant?: string;
}

/** One line for people: `edge.yaml:14:11: spec.policy: "Failovr" is neither Failover nor Balance; did you mean "Failover"?` */
export function printProblem({ code, at, path, what, meant }: Problem): string {
  const suggestion = meant === undefined ? '' : `; did you mean "${meant}"?`;
  const place = code === 'unreadable' ? at.file : printPosition(at);
  return `${place}: ${path === '' ? '' : `${path}: `}${what}${suggestion}`;
}

/** `edge.yaml:14:11`, the form that editors and terminals make a link of. */
export const printPosition = ({ file, line, column }: Position): string => `${file}:${line}:${column}`;

/** Order of reading: by file, line, column; then by path and text, so that equal input gives equal output. */
export function compareProblems(left: Problem, right: Problem): number {
  return (
    compareText(left.at.file, right.at.file) ||
    left.at.line - right.at.line ||
    left.at.column - right.at.column ||
    compareText(left.path, right.path) ||
    compareText(left.what, right.what)
  );
}

/** By code unit, not by locale: the same everywhere. */
const compareText = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0);
