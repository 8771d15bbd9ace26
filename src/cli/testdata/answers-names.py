"""A DNS server on port 53 that knows one answer: for every name the address 192.0.2.80."""
import socket
import struct

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 53))
print("ready", flush=True)
while True:
    question, client = server.recvfrom(512)
    end = question.index(b"\0", 12) + 5
    wants_ipv4 = question[end - 4 : end - 2] == b"\0\1"
    head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1 if wants_ipv4 else 0, 0, 0)
    answer = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 60, 4) + bytes([192, 0, 2, 80])
    server.sendto(head + question[12:end] + (answer if wants_ipv4 else b""), client)
