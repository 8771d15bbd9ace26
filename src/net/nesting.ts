/** More than any tool nests; what goes deeper would overflow the stack of whoever reads or prints it. */
const DEEPEST = 200;

/** Whether a JSON text nests deeper than what a reader may follow by recursion. Brackets inside of strings do not count. */
export function isNestedTooDeep(json: string): boolean {
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const letter = json.charCodeAt(at);
    if (letter === QUOTE) at = endOfString(json, at);
    else if (letter === BRACKET || letter === BRACE) {
      depth += 1;
      if (depth > DEEPEST) return true;
    } else if (letter === BRACKET + 2 || letter === BRACE + 2) depth -= 1;
  }
  return false;
}

const [QUOTE, BRACKET, BRACE] = [0x22, 0x5b, 0x7b];

/** Where the string ends that begins there: at a quote that no backslash precedes, itself not behind one. */
function endOfString(json: string, start: number): number {
  for (let at = json.indexOf('"', start + 1); at !== -1; at = json.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (json[at - 1 - backslashes] === '\\') backslashes += 1;
    if (backslashes % 2 === 0) return at;
  }
  return json.length;
}
