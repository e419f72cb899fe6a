"""Asks the guest's name server for names and prints name, type, RCODE and, for a name with an IPv4 address, that."""

import socket

server = socket.socket(type=socket.SOCK_DGRAM)
server.settimeout(60)
server.connect(("10.0.2.3", 53))


def ask(name, kind):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    header = bytes([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    server.send(header + labels + b"\0" + kind.to_bytes(2, "big") + b"\0\1")
    answer = server.recv(512)
    address = socket.inet_ntoa(answer[-4:]) if answer[7] else ""
    print(f"{name} {kind}:", answer[3] & 15, address)


ask("localhost", 1)
ask("nowhere.invalid", 1)
ask("localhost", 15)
