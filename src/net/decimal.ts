/**
 * A whole number written in plain decimal digits, from 0 to `most`: no sign, no space, no leading zero.
 * A leading zero is refused because readers differ on it: `010` is 8 to C and to YAML 1.1, 10 to others.
 */
export function parseDecimal(text: string, most: number): number | undefined {
  const { length } = text;
  if (length === 0 || (length > 1 && text.charCodeAt(0) === 0x30)) return undefined;
  let value = 0;
  for (let at = 0; at < length; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
    if (value > most) return undefined;
  }
  return value;
}
