/** A text that equal plain data share, whatever the order of their fields. */
export const signatureOf = (data: unknown): string =>
  JSON.stringify(data, (_name, value: unknown) => {
    if (typeof value === 'bigint') return `${value}n`;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)));
  });
