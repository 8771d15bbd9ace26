"""Asks by sockets, and tells what each of them heard: an answer, an ICMP error (type/code, MTU, who told), a reset, or nothing."""
import errno
import json
import select
import socket
import struct
import sys
import time

IP_RECVERR, IPV6_RECVERR, IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PROBE = 11, 25, 10, 23, 3  # linux/in.h, linux/in6.h
SECONDS = 0.5

asks = json.load(sys.stdin)
poll = select.poll()
waiting = {}
heard = ["nothing"] * len(asks)
for index, ask in enumerate(asks):
    family = socket.AF_INET6 if ":" in ask["to"] else socket.AF_INET
    kind = socket.SOCK_DGRAM if ask["protocol"] == "udp" else socket.SOCK_STREAM
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    level, recverr, discover = (
        (socket.IPPROTO_IPV6, IPV6_RECVERR, IPV6_MTU_DISCOVER)
        if family == socket.AF_INET6
        else (socket.IPPROTO_IP, IP_RECVERR, IP_MTU_DISCOVER)
    )
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(level, recverr, 1)
    if kind == socket.SOCK_DGRAM:
        sock.setsockopt(level, discover, PROBE)
    sock.bind((ask["from"], ask["sport"]))
    sock.connect_ex((ask["to"], ask["port"]))
    if kind == socket.SOCK_DGRAM:
        size = ask.get("size", 0)
        sock.send(b"x" * max(1, size - 28 - (20 if family == socket.AF_INET6 else 0) - 1) + b"\n")
    waiting[sock.fileno()] = (index, sock)
    poll.register(sock.fileno(), select.POLLIN | select.POLLOUT if kind == socket.SOCK_STREAM else select.POLLIN)


def error_of(sock):
    """What stands in the queue of errors (ip(7), IP_RECVERR)."""
    try:
        _, ancillary, _, _ = sock.recvmsg(1, 512, socket.MSG_ERRQUEUE)
    except BlockingIOError:
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return "reset" if number == errno.ECONNREFUSED else errno.errorcode.get(number, str(number))
    for _, _, data in ancillary:
        _, origin, type_, code, _, info, _ = struct.unpack_from("=IBBBBII", data)
        if origin not in (2, 3):
            return f"origin {origin}"
        offender = data[16:]
        size, of = (4, 4) if struct.unpack_from("=H", offender)[0] == socket.AF_INET else (16, 8)
        address = socket.inet_ntop(socket.AF_INET if size == 4 else socket.AF_INET6, offender[of : of + size])
        return f"{type_}/{code}{f' {info}' if info else ''} from {address}"


end = time.monotonic() + SECONDS
while waiting and time.monotonic() < end:
    for number, events in poll.poll(max(0, (end - time.monotonic()) * 1000)):
        index, sock = waiting[number]
        heard[index] = error_of(sock) if events & (select.POLLERR | select.POLLHUP) else "an answer"
        poll.unregister(number)
        sock.close()
        del waiting[number]
print(json.dumps(heard))
