"""Servers that say a word to each who connects, and are told where by a JSON list of {port, word, transparent, address} on the first line of stdin."""
import json
import selectors
import socket
import sys

IP_TRANSPARENT = 19  # linux/in.h
poll = selectors.DefaultSelector()
for place in json.loads(sys.stdin.readline()):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if place.get("transparent"):
        sock.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
    sock.bind((place.get("address", ""), place["port"]))
    sock.listen(16)
    sock.setblocking(False)
    poll.register(sock, selectors.EVENT_READ, place["word"])
print("ready", flush=True)
while True:
    for key, _ in poll.select():
        child, _ = key.fileobj.accept()
        child.sendall(f"{key.data} at {child.getsockname()[0]}:{child.getsockname()[1]}\n".encode())
        child.close()
