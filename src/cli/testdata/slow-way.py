"""A slow way for ssh, as its ProxyCommand: slow-way.py HOST PORT DELAY [LOG]

Each byte takes DELAY seconds, each way. Into LOG goes a line for every turn: what was sent after something had come back. A round trip is
one turn at least, whatever this machine is busy with.
"""
import asyncio
import os
import sys


async def main(host, port, delay, log):
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), os.fdopen(0, "rb", 0))
    reader, writer = await asyncio.open_connection(host, port)
    turns = {"last": "in", "count": 0}

    def tell():
        if turns["last"] == "in":
            turns["last"] = "out"
            turns["count"] += 1
            if log:
                with open(log, "a") as file:
                    file.write(f"{turns['count']}\n")

    async def carry(source, put, end, before):
        queue = asyncio.Queue()

        async def deliver():
            while True:
                due, chunk = await queue.get()
                await asyncio.sleep(max(0, due - loop.time()))
                if not chunk:
                    return end()
                put(chunk)

        task = asyncio.create_task(deliver())
        while True:
            chunk = await source.read(65536)
            if chunk:
                before()
            queue.put_nowait((loop.time() + delay, chunk))
            if not chunk:
                return await task

    def write_out(chunk):
        turns["last"] = "in"
        view = memoryview(chunk)
        while view:
            view = view[os.write(1, view):]

    out = asyncio.create_task(carry(stdin, writer.write, writer.close, tell))
    back = asyncio.create_task(carry(reader, write_out, lambda: None, lambda: None))
    await asyncio.wait([out, back], return_when=asyncio.FIRST_COMPLETED)


asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else ""))
