import { statSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { type Namespace, type Sshd, startNamespace, startSshd } from '../lab/index.ts';
import { localTransport, namespaceTransport, sshTransport, type Transport, whileHeard } from './index.ts';

const WEIRD = [`a 'b' "c"`, '$(touch /tmp/pwned)', '', 'back`tick`', 'new\nline', '-n', '*', 'ü€'];

async function startLabPlaces() {
  const lab = await startNamespace();
  await lab.run(['ip', 'netns', 'add', 'edge']);
  await lab.run(['ip', 'netns', 'add', 'node']);
  await lab.run(['mount', '-n', '-t', 'tmpfs', 'tmpfs', '/tmp']);
  const entry = ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'];
  return { lab, entry, [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose]() };
}

/** Temporary files, wherever they may lie. */
const left = async (lab: Namespace) =>
  (await lab.run(['find', '/tmp', '/run', '-name', 'tmp.*'], { allowFailure: true })).stdout;

const sleeps = async (lab: Namespace) => (await lab.run(['pgrep', '-x', 'sleep'], { allowFailure: true })).status === 0;

async function until(what: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 5_000; !(await what()); await setTimeout(20)) {
    if (Date.now() > end) throw new Error('did not come true within 5 s');
  }
}

const kinds: Readonly<Record<string, (entry: readonly string[], sshd: Sshd | undefined) => Transport>> = {
  local: (entry) => localTransport('edge', { entry }),
  netns: (entry) => namespaceTransport('edge', 'edge', { entry }),
  ssh: (entry, sshd) => sshTransport('edge', { ...sshd, address: '127.0.0.1', entry }),
};

for (const [kind, openKind] of Object.entries(kinds)) {
  /** A lab with the network namespaces `edge` and `node`, and a way into it. */
  const startPlaces = async () => {
    const places = await startLabPlaces();
    const sshd = kind === 'ssh' ? await startSshd(places.lab) : undefined;
    const dispose = async (): Promise<void> => {
      await sshd?.[Symbol.asyncDispose]();
      await places[Symbol.asyncDispose]();
    };
    return { ...places, make: () => openKind(places.entry, sshd), [Symbol.asyncDispose]: dispose };
  };
  test(`${kind}: arguments and stdin arrive as they are, status and both outputs come back`, async () => {
    await using places = await startPlaces();
    const transport = places.make();
    const argv = ['sh', '-c', 'cat; printf "%s|" "$@"; echo oops >&2; exit 7', 'sh', ...WEIRD];
    expect(await transport.run({ argv, stdin: 'text ü' })).toEqual({
      stdout: `text ü${WEIRD.join('|')}|`,
      stderr: 'oops\n',
      status: 7,
    });
  });

  test(`${kind}: of a command that goes on each line is told as it comes, and it ends with whoever listens`, async () => {
    await using places = await startPlaces();
    const transport = places.make();
    const lines: string[] = [];
    const short = ['sh', '-c', 'printf "one\\ntwo"; echo; echo oops >&2; exit 7'];
    const ended = await transport.follow(whileHeard(short), (line) => lines.push(line), new AbortController().signal);
    expect({ ...ended, lines }).toEqual({ status: 7, stderr: 'oops\n', lines: ['one', 'two'] });
    const stop = new AbortController();
    const going = transport.follow(
      whileHeard(['sh', '-c', 'sleep 1000 & echo begun; wait']),
      (line) => lines.push(line),
      stop.signal,
    );
    await until(async () => lines.includes('begun'));
    await until(() => sleeps(places.lab));
    stop.abort(new Error('enough'));
    await expect(going).rejects.toThrow('enough');
    await until(async () => !(await sleeps(places.lab)));
    expect((await transport.run({ argv: ['echo', 'still there'] })).stdout).toBe('still there\n');
  });

  test(`${kind}: several at once give each its own output and status, in order`, async () => {
    await using places = await startPlaces();
    const outputs = await places
      .make()
      .runAll([
        { argv: ['printf', '%s|', ...WEIRD] },
        { argv: ['sh', '-c', 'echo late; echo err >&2; exit 3'] },
        { argv: ['cat'], stdin: 'told' },
        { argv: ['no-such-program'] },
        { argv: ['cat'] },
      ]);
    expect(outputs.map(({ stdout, status }) => [stdout, status])).toEqual([
      [`${WEIRD.join('|')}|`, 0],
      ['late\n', 3],
      ['told', 0],
      ['', 127],
      ['', 0],
    ]);
    expect(outputs[1]?.stderr).toBe('err\n');
    expect(await left(places.lab)).toBe('');
  });

  test(`${kind}: a full disk is no hindrance, nor is a full /run while there is a disk`, async () => {
    await using places = await startPlaces();
    // Over /run the namespaces' own names would be hidden.
    for (const full of kind === 'local' ? ['/tmp', '/run'] : ['/tmp']) {
      await places.lab.run(['mount', '-n', '-t', 'tmpfs', '-o', 'nr_inodes=1', 'tmpfs', full]);
      const outputs = await places.make().runAll([{ argv: ['cat'], stdin: 'told' }, { argv: ['echo', 'said'] }]);
      expect(outputs.map(({ stdout }) => stdout)).toEqual(['told', 'said\n']);
      await places.lab.run(['umount', '-n', full]);
    }
  });

  test(`${kind}: the output of a megabyte of stdin is whole, and a command may leave stdin unread`, async () => {
    await using places = await startPlaces();
    const transport = places.make();
    const stdin = 'x'.repeat(1 << 20);
    expect((await transport.run({ argv: ['cat'], stdin })).stdout).toBe(stdin);
    expect((await transport.run({ argv: ['true'], stdin })).status).toBe(0);
  });

  test(`${kind}: a missing program is named with its Debian package`, async () => {
    await using places = await startPlaces();
    const transport = places.make();
    await expect(transport.run({ argv: ['no-such', 'x'] })).rejects.toThrow(/^edge: no-such is missing$/);
    await transport.stateFolder();
    await places.lab.run(['mount', '-n', '-t', 'tmpfs', 'tmpfs', '/usr/sbin']);
    const nft = transport.run({ argv: ['nft', '-f', '-'], stdin: ' '.repeat(20_000) });
    await expect(nft).rejects.toThrow(/^edge: nft is missing: install the Debian package nftables$/);
  });

  test(`${kind}: over its time it is killed with all it started`, async () => {
    await using places = await startPlaces();
    const command = { argv: ['sh', '-c', 'sleep 1000 & sleep 1000'], timeoutMs: 300 };
    await expect(places.make().run(command)).rejects.toThrow(/^edge: sh -c .*: not done after 0.3 s$/);
    await until(async () => !(await sleeps(places.lab)));
  });

  test(`${kind}: of several that are over their time the first is named, and no script`, async () => {
    await using places = await startPlaces();
    const late = { argv: ['sleep', '1000'], timeoutMs: 300 };
    const both = places.make().runAll([late, { argv: ['sh', '-c', 'sleep\n1000'], timeoutMs: 300 }]);
    await expect(both).rejects.toThrow(/^edge: sleep 1000 and 1 more: not done after 0.3 s$/);
    const file = places.make().run({ argv: ['sh', '-c', '\nsleep 1000', 'sh', 'it'], timeoutMs: 300 });
    await expect(file).rejects.toThrow(/^edge: sh -c … sh it: not done after 0.3 s$/);
  });

  test(`${kind}: many at once are all done, also after some were over their time`, async () => {
    await using places = await startPlaces();
    const transport = places.make();
    const late = Array.from({ length: 40 }, () => transport.run({ argv: ['sleep', '1000'], timeoutMs: 10 }));
    await Promise.allSettled(late);
    const said = await Promise.all(
      Array.from({ length: 40 }, (_, index) => transport.run({ argv: ['echo', String(index)] })),
    );
    expect(said.map(({ stdout }) => stdout.trim())).toEqual(said.map((_, index) => String(index)));
  });

  test(`${kind}: an abort kills it and throws the reason`, async () => {
    await using places = await startPlaces();
    const stop = new AbortController();
    const sleeping = { argv: ['sleep', '1000'] };
    const running = places.make().runAll([sleeping, sleeping], stop.signal);
    await until(() => sleeps(places.lab));
    stop.abort(new Error('Ctrl-C'));
    await expect(running).rejects.toThrow('Ctrl-C');
    await until(async () => !(await sleeps(places.lab)));
    await until(async () => (await left(places.lab)) === '');
  });

  test(`${kind}: over its time, one that does not listen to SIGTERM is killed`, async () => {
    await using places = await startPlaces();
    const command = { argv: ['sh', '-c', 'trap : TERM; while :; do sleep 1; done'], timeoutMs: 300 };
    await expect(places.make().run(command)).rejects.toThrow(/: not done after 0.3 s$/);
    await until(async () => !(await sleeps(places.lab)));
  });

  test(`${kind}: a file is put whole with its mode, read back and removed; one that is not there is undefined`, async () => {
    await using places = await startPlaces();
    const transport = places.make();
    const path = `/run/of ours/it's "here"`;
    expect(await transport.readFile(path)).toBeUndefined();
    await transport.removeFile(path);
    for (const content of ['first ü\n', '', 'x'.repeat(100_000)]) {
      await transport.writeFile(path, content, 0o600);
      expect(await transport.readFile(path)).toBe(content);
    }
    expect((await places.lab.run(['stat', '-c', '%a', '/run/of ours', path])).stdout).toBe('700\n600\n');
    expect((await places.lab.run(['ls', '/run/of ours'])).stdout).toBe(`it's "here"\n`);
    await transport.removeFile(path);
    expect(await transport.readFile(path)).toBeUndefined();
  });

  test(`${kind}: a long file of which a little changes, whatever truly stands there`, async () => {
    await using places = await startPlaces();
    const transport = places.make();
    const path = '/run/long';
    const long = Array.from({ length: 20_000 }, (_, index) => `line ${index} ü\n`);
    const before = long.join('');
    const after = long.with(7_000, 'another €\n').toSpliced(9_000, 1).join('');
    const leave = (text: string): Promise<unknown> =>
      places.lab.run(['sh', '-c', 'printf %s "$1" >/run/long', 'sh', text]);
    await transport.writeFile(path, before, 0o600);
    await transport.writeFile(path, after, 0o640, { standing: before });
    expect(await transport.readFile(path)).toBe(after);
    expect((await places.lab.run(['stat', '-c', '%a', path])).stdout).toBe('640\n');
    for (const spoil of [
      () => leave(''),
      () => leave('something else'),
      () => transport.removeFile(path),
      () => transport.writeFile(path, before.replace('line 9 ', 'line 8 '), 0o600),
    ]) {
      await spoil();
      await transport.writeFile(path, after, 0o600, { standing: before });
      expect(await transport.readFile(path)).toBe(after);
    }
    expect((await places.lab.run(['ls', '/run'])).stdout).not.toMatch(/long.new/);
  });

  test(`${kind}: a long file whose change is stopped at any moment is the old one or the new one`, async () => {
    await using places = await startPlaces();
    const transport = places.make();
    const [before, after] = ['one', 'two'].map((word) => 'x'.repeat(1_000_000) + word + 'y'.repeat(1_000_000));
    if (before === undefined || after === undefined) expect.fail();
    const ends = new Set<unknown>();
    for (let delay = 0; delay < 60; delay += 6) {
      await transport.writeFile('/run/long', before, 0o600);
      const stop = AbortSignal.timeout(delay);
      await transport.writeFile('/run/long', after, 0o600, { standing: before, signal: stop }).catch(() => {});
      const found = await transport.readFile('/run/long');
      ends.add(found === before ? 'before' : found === after ? 'after' : found?.length);
    }
    expect([...ends].filter((end) => end !== 'before' && end !== 'after')).toEqual([]);
    expect(ends).toContain('before');
  });

  test(`${kind}: state lies below /run/sallyport, by the inode of the network namespace`, async () => {
    await using places = await startPlaces();
    const inode = statSync(
      kind === 'netns' ? `/proc/${places.lab.pid}/root/run/netns/edge` : `/proc/${places.lab.pid}/ns/net`,
    ).ino;
    // PID 1 of the lab holds the lab's own network namespace: a local host there is a machine of its own.
    const expected = kind === 'netns' ? `/run/sallyport/netns/${inode}` : '/etc/sallyport';
    expect(await places.make().stateFolder()).toBe(expected);
  });
}

test('a file of which not all came is not put', async () => {
  await using places = await startLabPlaces();
  const { WRITE_FILE, script } = await import('./scripts.ts');
  await places.lab.run(['sh', '-c', 'echo old >/run/file']);
  const cut = await places.lab.run(script(WRITE_FILE, '/run/file', '600', '9'), { stdin: 'new', allowFailure: true });
  expect(cut).toMatchObject({ status: 1, stderr: 'only 3 of 9 bytes came\n' });
  expect((await places.lab.run(['sh', '-c', 'cat /run/file; ls /run/file*'])).stdout).toBe('old\n/run/file\n');
});

test('stdin of which not all came starts no command', async () => {
  await using places = await startLabPlaces();
  const { WITH_WHOLE_STDIN, script } = await import('./scripts.ts');
  const cut = await places.lab.run(script(WITH_WHOLE_STDIN, '9', 'touch', '/run/done'), {
    stdin: 'new',
    allowFailure: true,
  });
  expect(cut).toMatchObject({ status: 125, stderr: 'only 3 of 9 bytes of stdin came\n' });
  expect((await places.lab.run(['ls', '/run'])).stdout).not.toContain('done');
});

test('where /run is full that is what is said, of stdin and of what was read', async () => {
  await using places = await startLabPlaces();
  const { SEVERAL, WITH_WHOLE_STDIN, script } = await import('./scripts.ts');
  const full = 'mount -n -t tmpfs -o size=8k tmpfs /run; dd if=/dev/zero of=/run/fill bs=4096 count=9';
  await places.lab.run(['sh', '-c', full], { allowFailure: true });
  const spoken = script(WITH_WHOLE_STDIN, '9', 'cat');
  expect(await places.lab.run(spoken, { stdin: 'some text', allowFailure: true })).toMatchObject({
    status: 125,
    stderr: expect.stringContaining('No space left on device'),
  });
  expect(await places.lab.run(script(SEVERAL, '1', '2', 'echo', 'x'), { allowFailure: true })).toMatchObject({
    status: 125,
    stderr: expect.stringMatching(/no space is left in \/run for what was read\n$/),
  });
});

test('netns: a namespace that is not there is named, with those that are', async () => {
  await using places = await startLabPlaces();
  const transport = namespaceTransport('edge', 'egde', { entry: places.entry });
  await expect(transport.run({ argv: ['true'] })).rejects.toThrow(
    'edge: no network namespace "egde": there are edge, node',
  );
  await places.lab.run(['ip', '-all', 'netns', 'delete']);
  await expect(transport.stateFolder()).rejects.toThrow('edge: no network namespace "egde": there is none');
});

test('netns: one that went away while we worked is named, and a stale name too', async () => {
  await using places = await startLabPlaces();
  const transport = namespaceTransport('edge', 'edge', { entry: places.entry });
  await transport.run({ argv: ['true'] });
  await places.lab.run(['ip', 'netns', 'delete', 'edge']);
  await expect(transport.run({ argv: ['true'] })).rejects.toThrow('edge: no network namespace "edge": there are node');
  await places.lab.run(['touch', '/run/netns/edge']);
  await expect(transport.runAll([{ argv: ['true'] }])).rejects.toThrow(
    /^edge: the network namespace "edge" cannot be entered: nsenter/,
  );
});

test('netns: what a namespace that is gone left is not taken for the state of its successor, but for a lock just taken', async () => {
  await using places = await startLabPlaces();
  const { lab, entry } = places;
  const first = namespaceTransport('edge', 'edge', { entry });
  const folder = await first.stateFolder();
  await first.writeFile(`${folder}/record.json`, 'of the first', 0o600);
  await first.writeFile(`${folder}/keys/sp-x.key`, 'of the first', 0o600);
  const again = namespaceTransport('edge', 'edge', { entry });
  expect(await again.readFile(`${folder}/record.json`)).toBe('of the first');
  await lab.run(['ip', 'netns', 'delete', 'edge']);
  await lab.run(['ip', 'netns', 'add', 'edge']);
  // The kernel may give the number again or not: here it does.
  const inode = (await lab.run(['stat', '-L', '-c', '%i', '/run/netns/edge'])).stdout.trim();
  await lab.run(['sh', '-c', '[ "$1" = "$2" ] || mv "$1" "$2"', 'sh', folder, `/run/sallyport/netns/${inode}`]);
  await lab.run(['touch', `/run/sallyport/netns/${inode}/lock`]);
  const second = namespaceTransport('edge', 'edge', { entry });
  expect(await second.readFile(`${await second.stateFolder()}/record.json`)).toBeUndefined();
  expect((await lab.run(['ls', await second.stateFolder()])).stdout).toBe('lock\n');
});

test('netns: /run/wireguard is a folder of this namespace alone, and no mount of it is seen outside', async () => {
  await using places = await startLabPlaces();
  const { lab, entry } = places;
  const edge = namespaceTransport('edge', 'edge', { entry });
  const node = namespaceTransport('node', 'node', { entry });
  const ls = { argv: ['ls', '/run/wireguard'] };
  const before = await lab.run(['ls', '-R', '/run']);
  expect((await edge.run(ls)).status).toBe(2); // nobody made such a link: looking makes nothing
  expect(await lab.run(['ls', '-R', '/run'])).toEqual(before);
  await lab.run(['mkdir', '-p', '/run/wireguard', `${await edge.stateFolder()}/wireguard`]);
  await lab.run(['touch', '/run/wireguard/of-others']);
  await edge.run({ argv: ['touch', '/run/wireguard/of-edge'] });
  expect((await edge.run(ls)).stdout).toBe('of-edge\n');
  expect((await node.run(ls)).stdout).toBe('');
  expect((await lab.run(ls.argv)).stdout).toBe('of-others\n');
  expect((await lab.run(['grep', '-c', 'wireguard', '/proc/self/mounts'], { allowFailure: true })).stdout).toBe('0\n');
});

test('arguments longer than the kernel takes are an error of the transport, and no more of them is shown than helps', async () => {
  const running = localTransport('edge').run({ argv: ['echo', 'x'.repeat(3 << 20)] });
  await expect(running).rejects.toThrow(/^edge: echo x{1,200}…: spawn E2BIG$/);
});

test('not root: one sentence, before anything is started', async () => {
  const root = vi.spyOn(process, 'getuid').mockReturnValue(1000);
  try {
    for (const transport of [localTransport('edge'), namespaceTransport('edge', 'edge')]) {
      await expect(transport.run({ argv: ['touch', '/run/never'] })).rejects.toThrow(
        /^edge: programming this host needs root: run as root, or set access.local with become: sudo$/,
      );
    }
  } finally {
    root.mockRestore();
  }
});

// Who it refuses, and where it is missing: become.test.ts of the command line, as another user.
test('become: sudo goes by `sudo -n`, names a missing program, and hands on what is our own', async () => {
  const user = vi.spyOn(process, 'getuid').mockReturnValue(1000);
  try {
    const transport = localTransport('edge', { become: 'sudo' });
    const asked = ['sh', '-c', 'cat; echo "$LC_ALL $SUDO_COMMAND"'];
    expect(await transport.run({ argv: asked, stdin: 'in ' })).toMatchObject({
      stdout: expect.stringMatching(/^in C \/\S*env PATH=/),
      status: 0,
    });
    await expect(transport.run({ argv: ['conntrack-not-there'] })).rejects.toThrow(
      'edge: conntrack-not-there is missing',
    );
    const outputs = await transport.runAll([{ argv: ['false'] }, { argv: ['echo', 'out'] }]);
    expect(outputs.map(({ stdout, status }) => [stdout, status])).toEqual([
      ['', 1],
      ['out\n', 0],
    ]);
  } finally {
    user.mockRestore();
  }
});
