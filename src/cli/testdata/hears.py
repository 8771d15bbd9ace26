"""Connects from each address of a JSON list of {from, to, port} on stdin, all at once; the word that each heard, or nothing."""
import json
import select
import socket
import sys
import time

asks = json.load(sys.stdin)
heard = ["nothing"] * len(asks)
poll = select.poll()
waiting = {}
for index, ask in enumerate(asks):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.bind((ask["from"], 0))
    sock.connect_ex((ask["to"], ask["port"]))
    waiting[sock.fileno()] = (index, sock)
    poll.register(sock.fileno(), select.POLLIN)
end = time.monotonic() + 0.6
while waiting and time.monotonic() < end:
    for number, _ in poll.poll(max(0, (end - time.monotonic()) * 1000)):
        index, sock = waiting.pop(number)
        try:
            heard[index] = sock.recv(99).decode().strip()
        except OSError:
            heard[index] = "refused"
        poll.unregister(number)
        sock.close()
print(json.dumps(heard))
