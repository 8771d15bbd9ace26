"""A stream of numbered datagrams that waits for nobody, and what of it came there and back.
stream.py serve PORT: answers each with itself. stream.py send ADDRESS PORT RATE: sends until stdin ends, then listens a second more.
Both tell at the end of stdin, as one line of JSON, how many different ones they heard; who sends, how many it sent and which never came back."""

import json
import selectors
import socket
import sys
import time

role, *rest = sys.argv[1:]
heard = set()
chosen = selectors.DefaultSelector()
chosen.register(sys.stdin, selectors.EVENT_READ)


def open_socket(family):
    made = socket.socket(family, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
    made.setblocking(False)
    chosen.register(made, selectors.EVENT_READ)
    return made


def take(line, answers):
    """All that is there. An ICMP error is no datagram."""
    while True:
        try:
            data, sender = line.recvfrom(2048)
        except BlockingIOError:
            return
        except OSError:
            continue
        heard.add(int(data))
        if answers:
            line.sendto(data, sender)


def tell(**more):
    print(json.dumps({"heard": len(heard), **more}), flush=True)


if role == "serve":
    line = open_socket(socket.AF_INET6)
    line.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    line.bind(("::", int(rest[0])))
    print("ready", flush=True)
    while True:
        ready = [key.fileobj for key, _ in chosen.select()]
        take(line, True)
        if sys.stdin in ready and not sys.stdin.readline():
            tell()
            break
else:
    line = open_socket(socket.AF_INET6 if ":" in rest[0] else socket.AF_INET)
    line.connect((rest[0], int(rest[1])))
    gap, sent, refused, stops = 1 / float(rest[2]), 0, 0, None
    began = time.monotonic()
    while stops is None or time.monotonic() < stops:
        if stops is None:
            while began + sent * gap <= time.monotonic():
                try:
                    line.send(str(sent).encode())
                except OSError:
                    refused += 1
                sent += 1
        ready = [key.fileobj for key, _ in chosen.select(gap)]
        take(line, False)
        if stops is None and sys.stdin in ready and not sys.stdin.readline():
            stops = time.monotonic() + 1
            chosen.unregister(sys.stdin)
    tell(sent=sent, refused=refused, lost=[n for n in range(sent) if n not in heard][:20])
