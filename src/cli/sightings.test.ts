import { expect, test } from 'vitest';
import { linuxDriver } from '../drivers/index.ts';
import { localTransport, type Output, type Transport, TransportError } from '../transport/index.ts';
import { sightAll, sightingsOf } from './sightings.ts';

const said = (stdout: string, status = 0): Output => ({ status, stdout, stderr: '' });
/** A host that answers each command with what `answer` says of its last word. */
const hostOf = (name: string, answer: (last: string) => Output) => {
  const transport: Transport = {
    ...localTransport(name),
    runAll: async (commands) => commands.map(({ argv }) => answer(argv.at(-1) ?? '')),
  };
  return { name, transport, driver: linuxDriver(transport) };
};
const { signal } = new AbortController();

test('of a host whose sockets cannot be read it is not known who listens; another says what it has', async () => {
  const head = '  sl  local_address rem_address   st\n';
  const seen = await sightAll(
    [
      hostOf('closed', (last) => (last.startsWith('/proc') ? said('', 1) : said('[]'))),
      hostOf('plain', (last) => said(last.startsWith('/proc') ? head : '[]')),
    ],
    signal,
  );
  expect(sightingsOf(seen, new Map()).sockets).toEqual(new Map([['plain', []]]));
});

test('a host that does not answer said nothing; one that answers something else is an error that names the command', async () => {
  const silent = hostOf('silent', () => {
    throw new TransportError('silent', ['ip'], 'no answer');
  });
  expect(await sightAll([silent], signal)).toEqual(new Map());
  await expect(sightAll([hostOf('odd', () => said('no list'))], signal)).rejects.toThrow(/^odd: output of "ip -j/);
});
