"""Sends the numbers from 0 on, over and over, and prints what the server answers: host, port, repetitions."""

import array
import socket
import sys

block = array.array("I", range(1 << 19)).tobytes()
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    for _ in range(int(sys.argv[3])):
        connection.sendall(block)
    connection.shutdown(socket.SHUT_WR)
    print(connection.makefile().read(), end="")
