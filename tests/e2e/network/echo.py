"""Sends back what each of many connections at a time sends; a connection that is reset is said so."""

import selectors
import socket

selector = selectors.DefaultSelector()
listener = socket.create_server(("", 80), backlog=512)
selector.register(listener, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        if key.fileobj is listener:
            connection, _ = listener.accept()
            selector.register(connection, selectors.EVENT_READ)
            continue
        connection = key.fileobj
        try:
            data = connection.recv(1 << 16)
            connection.sendall(data)
        except ConnectionResetError:
            print("reset", flush=True)
            data = b""
        if not data:
            selector.unregister(connection)
            connection.close()
