"""The hands of the fuzzer inside its network namespaces: one process, JSON lines on stdin, an answer line for each.

It makes the namespaces, keeps a packet socket (AF_PACKET), a socket for nft's trace (NFNLGRP_NFTRACE) and raw sockets for what is
delivered in each, and sends one packet at a time: by a socket of a host, or onto a link from its far end. veth, routes and rules do their
work within the send, so what the sockets hold after it is what became of that packet. Standard library only.
"""
import ctypes
import errno
import json
import os
import select
import socket
import struct
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
SO_TIMESTAMPNS, SO_RCVMARK = 35, 75  # asm-generic/socket.h
IPV6_RECVPKTINFO, IPV6_PKTINFO = 49, 50
ETH_P_ALL = 3
PACKET_OUTGOING, PACKET_OTHERHOST = 4, 3
NETLINK_NETFILTER, NFNLGRP_NFTRACE, NFT_MSG_TRACE = 12, 9, 10 << 8 | 17
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
ECHO_REQUEST, ECHO_REPLY = {ICMP: 8, ICMPV6: 128}, {ICMP: 0, ICMPV6: 129}
SYN, RST, ACK = 2, 4, 16
TCP_REPAIR = 19
OUTSIDE = "outside"

spaces = {}  # name -> Space
current = None


def enter(name):
    global current
    if current == name:
        return
    if libc.setns(spaces[name].fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    current = name


class Space:
    def __init__(self, name):
        self.name = name
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        self.fd = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.sockets = {}  # what is watched
        self.kept = {}  # sockets that ask or answer, by what they are bound to
        self.held = []
        self.listening = {}  # TCP sockets by port

    def watch(self):
        """In this namespace: opens the sockets that see."""
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.add("tap", tap)
        if self.name == OUTSIDE:
            return
        trace = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_NETFILTER)
        trace.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        trace.bind((0, 1 << (NFNLGRP_NFTRACE - 1)))
        self.add("trace", trace)
        for family in (socket.AF_INET, socket.AF_INET6):
            for protocol in (UDP, TCP, ICMP if family == socket.AF_INET else ICMPV6):
                raw = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
                raw.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
                if family == socket.AF_INET6:
                    raw.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                self.add("raw4" if family == socket.AF_INET else "raw6", raw)

    def add(self, kind, sock):
        self.sockets[sock.fileno()] = (kind, sock)
        poll.register(sock.fileno(), select.EPOLLIN)
        owners[sock.fileno()] = self

    def listen(self, ports):
        """A socket on each port, so that nothing is answered by an ICMP error or a reset."""
        for port in ports:
            self.held.append(bound(socket.SOCK_DGRAM, port))
            self.listening[port] = bound(socket.SOCK_STREAM, port)

    def settle(self, port):
        """Ends what a SYN to this port began, without a word to the other side."""
        sock = self.listening.get(port)
        if sock is None:
            return
        try:
            child, _ = sock.accept()
        except BlockingIOError:
            # A handshake that stopped half-way waits below the listening socket, and ends with it.
            sock.close()
            self.listening[port] = bound(socket.SOCK_STREAM, port)
            return
        close_silently(child)


def bound(kind, port):
    sock = socket.socket(socket.AF_INET6, kind | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        sock.listen(16)
    return sock


def close_silently(sock):
    """No FIN and no reset: the connection goes on in every table that knows it."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except OSError:
        pass  # it never came to be one
    sock.close()


poll = select.epoll()
owners = {}


def run_all(commands):
    """Starts all commands at once, each in the namespace it names; gives their outputs in order."""
    started = []
    for command in commands:
        enter(command["space"])
        started.append(
            subprocess.Popen(
                command["argv"],
                stdin=subprocess.PIPE if command.get("stdin") else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
    outputs = []
    for command, process in zip(commands, started):
        out, err = process.communicate(command["stdin"].encode() if command.get("stdin") else None)
        outputs.append({"stdout": out.decode(), "stderr": err.decode(), "status": process.returncode})
    return outputs


def build(names):
    for name in [OUTSIDE, *names]:
        space = Space(name)
        spaces[name] = space
        global current
        current = name
    return {name: f"/proc/{os.getpid()}/fd/{space.fd}" for name, space in spaces.items()}


def write_settings(space, settings):
    enter(space)
    for path, value in settings:
        with open(f"/proc/sys/{path}", "w") as file:
            file.write(str(value))


def watch(ports):
    for name, space in spaces.items():
        enter(name)
        space.watch()
        if name != OUTSIDE:
            space.listen(ports)


def forget():
    """Ends all tracked connections (IPCTNL_MSG_CT_DELETE of everything)."""
    for name in spaces:
        if name == OUTSIDE:
            continue
        enter(name)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
            sock.bind((0, 0))
            sock.send(struct.pack("=LHHLL", 20, 1 << 8 | 2, 5, 1, 0) + struct.pack("=BBH", 0, 0, 0))
            sock.recv(4096)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def frame(packet):
    """An Ethernet frame: all links of the fuzzer have one address, so that nobody has to be asked for."""
    source, destination = packed(packet["source"]), packed(packet["destination"])
    payload = packet["payload"].encode()
    sport, dport, protocol = packet["sourcePort"], packet["destinationPort"], packet["protocol"]
    if protocol == UDP:
        head = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
        at = 6
    elif protocol in ECHO_REQUEST:
        head = struct.pack("!BBHHH", (ECHO_REPLY if packet.get("answers") else ECHO_REQUEST)[protocol], 0, 0, sport, 1)
        at = 2
    else:
        flags, seq, ack = packet.get("flags", 2), packet.get("seq", 1000), packet.get("ack", 0)
        options = b"\x02\x04" + struct.pack("!H", packet["maxseg"]) if packet.get("maxseg") else b""
        payload = b""  # it would be acknowledged by a packet more
        head = struct.pack("!HHLLBBHHH", sport, dport, seq, ack, (20 + len(options)) << 2, flags, 64000, 0, 0) + options
        at = 16
    segment = head + payload
    if len(source) == 4:
        pseudo = source + destination + struct.pack("!BBH", 0, protocol, len(segment))
    else:
        pseudo = source + destination + struct.pack("!LL", len(segment), protocol)
    sum_ = checksum(segment if protocol == ICMP else pseudo + segment) or 0xFFFF
    segment = segment[:at] + struct.pack("!H", sum_) + segment[at + 2 :]
    if len(source) == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, protocol, 0) + source + destination
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        kind = 0x0800
    else:
        head = struct.pack("!LHBB", 6 << 28, len(segment), protocol, 64) + source + destination
        kind = 0x86DD
    return MAC * 2 + struct.pack("!H", kind) + head + segment


MAC = bytes.fromhex("020000000001")


def read_packet(data):
    """Addresses and ports of an IP packet, or None where it is none of ours."""
    if len(data) < 28:
        return None
    if data[0] >> 4 == 4:
        protocol, at = data[9], (data[0] & 15) * 4
        source, destination = socket.inet_ntop(socket.AF_INET, data[12:16]), socket.inet_ntop(socket.AF_INET, data[16:20])
    elif len(data) >= 48:
        protocol, at = data[6], 40
        source, destination = socket.inet_ntop(socket.AF_INET6, data[8:24]), socket.inet_ntop(socket.AF_INET6, data[24:40])
    else:
        return None
    read = read_transport(protocol, data[at:])
    return read and {"source": source, "destination": destination, "protocol": protocol, **read}


def read_transport(protocol, data):
    """Ports, and which packet of its flow it is; None of what the fuzzer does not send. An echo's id stands for both ports."""
    if protocol == UDP and len(data) >= 4:
        sport, dport = struct.unpack_from("!HH", data)
        return {"sourcePort": sport, "destinationPort": dport}
    if protocol == TCP and len(data) >= 14:
        sport, dport, seq = struct.unpack_from("!HHL", data)
        return {"sourcePort": sport, "destinationPort": dport, "seq": seq, "leg": LEGS.get(data[13] & (SYN | RST | ACK), "reset")}
    if protocol in ECHO_REQUEST and len(data) >= 8:
        leg = "request" if data[0] == ECHO_REQUEST[protocol] else "reply" if data[0] == ECHO_REPLY[protocol] else None
        number = struct.unpack_from("!H", data, 4)[0]
        return leg and {"sourcePort": number, "destinationPort": number, "leg": leg}
    return None


LEGS = {SYN: "request", SYN | ACK: "reply", ACK: "next"}


def attributes(data):
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += length + 3 & ~3


VERDICTS = {0: "drop", 1: "accept", -1: "continue", -2: "break", -3: "jump", -4: "goto", -5: "return"}
FAMILIES = {1: "inet", 2: "ip", 5: "netdev", 10: "ip6"}
TYPES = {1: "policy", 2: "return", 3: "rule"}


def read_trace(space, data):
    length, kind = struct.unpack_from("=LH", data)
    if kind != NFT_MSG_TRACE:
        return None
    seen = {"host": space, "family": FAMILIES.get(data[16], str(data[16])), "mark": 0}
    network = transport = number = None
    for kind, value in attributes(data[20:length]):
        if kind in (1, 2):
            seen["table" if kind == 1 else "chain"] = value.rstrip(b"\0").decode()
        elif kind == 3:
            seen["handle"] = struct.unpack("!Q", value)[0]
        elif kind == 4:
            seen["type"] = TYPES.get(struct.unpack("!L", value)[0])
        elif kind == 5:
            for inner, code in attributes(value):
                if inner == 1:
                    seen["verdict"] = VERDICTS.get(struct.unpack("!l", code)[0])
        elif kind == 6:
            number = value
        elif kind == 8:
            network = value
        elif kind == 9:
            transport = value
        elif kind == 14:
            seen["mark"] = struct.unpack("!L", value)[0]
        elif kind == 16:
            seen["verdict"] = VERDICTS.get(struct.unpack("!L", value)[0])
    # The headers stand in the first message of each chain, and the number in all of a packet.
    if network and transport:
        read = read_transport(network[9] if network[0] >> 4 == 4 else network[6], transport)
        legs[space, number] = read and read.get("leg")
    leg = legs.get((space, number))
    return {**seen, "leg": leg} if leg else seen


legs = {}  # by host and number of the trace


def time_of(ancillary):
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack_from("=qq", value)
            return seconds * 10**9 + nanoseconds
    return 0


def mark_of(ancillary):
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SO_MARK:
            return struct.unpack("=L", value)[0]
    return 0


def drain(story):
    """Reads whatever the sockets hold now; true where there was something."""
    found = False
    for fd, _ in poll.poll(0):
        space = owners[fd]
        kind, sock = space.sockets[fd]
        while True:
            try:
                data, ancillary, _, sender = sock.recvmsg(8192, 256)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                story["lost"] = True
                continue
            found = True
            see(story, space.name, kind, sock.proto, data, ancillary, sender)
    return found


def see(story, host, kind, protocol, data, ancillary, sender):
    if kind == "trace":
        seen = read_trace(host, data)
        if seen is not None:
            story["trace"].append(seen)
    elif kind == "tap":
        packet = read_packet(data[14:])
        if packet is None or sender[2] == PACKET_OTHERHOST:
            return
        direction = "out" if sender[2] == PACKET_OUTGOING else "in"
        story["links"].append({"at": time_of(ancillary), "host": host, "link": sender[0], "direction": direction, **packet})
    elif kind == "raw4":
        packet = read_packet(data)
        if packet is not None:
            delivered(story, host, ancillary, packet)
    else:
        destination = next((value[:16] for _, which, value in ancillary if which == IPV6_PKTINFO), bytes(16))
        read = read_transport(protocol, data)
        if read is not None:
            packet = {"source": sender[0].split("%")[0], "destination": socket.inet_ntop(socket.AF_INET6, destination)}
            delivered(story, host, ancillary, {**packet, "protocol": protocol, **read})


def delivered(story, host, ancillary, packet):
    story["delivered"].append({"host": host, "mark": mark_of(ancillary), **packet})
    if packet.get("leg") == "request" and packet["protocol"] == TCP:
        begun.add((host, packet["destinationPort"]))


begun = set()  # host and port of each SYN that was delivered


def is_told(story, leg):
    """Whether the end of that packet is seen already: nothing more of it is to come."""

    def of(seen):
        return seen.get("leg", leg) == leg

    return (
        any(of(seen) for seen in story["delivered"])
        or any(seen["host"] == OUTSIDE and seen["direction"] == "in" and of(seen) for seen in story["links"])
        or any(seen.get("verdict") == "drop" and of(seen) for seen in story["trace"])
        or "error" in story
    )


def send(step):
    """One packet; what became of it, as far as sockets can see."""
    story = {"trace": [], "links": [], "delivered": []}
    drain({"trace": [], "links": [], "delivered": []})
    legs.clear()
    last = step["last"]
    try:
        emit(step)
    except OSError as error:
        story["error"] = errno.errorcode.get(error.errno, str(error.errno))
    drain(story)
    for _ in range(GRACE_ROUNDS):
        if is_told(story, last) or not poll.poll(GRACE_MS / 1000):
            break
        drain(story)
    if not is_told(story, last):
        poll.poll(GRACE_MS / 1000)
        drain(story)
    story["links"].sort(key=lambda seen: seen["at"])
    return story


GRACE_ROUNDS, GRACE_MS = 3, 2


def emit(step):
    kind = step["kind"]
    if kind == "inject":
        injector(step["link"]).send(frame(step["packet"]))
        return
    enter(step["space"])
    space = spaces[step["space"]]
    family = socket.AF_INET6 if ":" in step["destination"] else socket.AF_INET
    if kind == "ask":
        key = ("ask", family, step["sourcePort"], step["destination"], step["destinationPort"])
        sock = space.kept.get(key)
        protocol = step["protocol"]
        if protocol == TCP:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", step["sourcePort"]))
            space.kept[key] = sock
            try:
                sock.connect((step["destination"], step["destinationPort"]))
            except BlockingIOError:
                pass
            return
        if sock is None:
            sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0 if protocol == UDP else protocol)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", step["sourcePort"]))
            try:
                sock.connect((step["destination"], step["destinationPort"]))
            except OSError:
                sock.close()
                raise
            space.kept[key] = sock
        echo = b"" if protocol == UDP else struct.pack("!BBHHH", ECHO_REQUEST[protocol], 0, 0, step["sourcePort"], 1)
        sock.send(echo + step["payload"].encode())
        return
    key = ("answer", family, step["source"], step["sourcePort"])
    sock = space.kept.get(key)
    if sock is None:
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((step["source"], step["sourcePort"]))
        space.kept[key] = sock
    sock.sendto(step["payload"].encode(), (step["destination"], step["destinationPort"]))


injectors = {}


def injector(link):
    if link not in injectors:
        enter(OUTSIDE)
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.bind((link, 0))
        injectors[link] = sock
    return injectors[link]


def close_asked():
    """The sockets of the last flow: their cached routes and ports are not the next one's."""
    for space in spaces.values():
        for sock in space.kept.values():
            if sock.type == socket.SOCK_STREAM:
                close_silently(sock)
            else:
                sock.close()
        space.kept.clear()
    for host, port in begun:
        enter(host)
        spaces[host].settle(port)
    begun.clear()


def answer(request):
    what = request["what"]
    if what == "build":
        return build(request["names"])
    if what == "run":
        return run_all(request["commands"])
    if what == "settings":
        for space, settings in request["settings"]:
            write_settings(space, settings)
        return None
    if what == "watch":
        return watch(request["ports"])
    if what == "forget":
        return forget()
    if what == "close":
        return close_asked()
    if what == "send":
        return send(request["step"])
    raise ValueError(what)


for line in sys.stdin:
    try:
        reply = {"ok": answer(json.loads(line))}
    except Exception as error:  # told to the other side, which ends the scenario
        reply = {"failed": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()
