"""A server that tells about itself, by HTTP and on its streams; ready when it has a socket to notify."""

import http.server
import os
import secrets
import signal
import socket
import socketserver
import ssl
import sys
import threading
import time

signals = []
signal.signal(signal.SIGCONT, lambda *_: signals.append("CONT"))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{self.path} {os.getpid()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Lines(socketserver.StreamRequestHandler):
    """A connection that waits for what comes."""

    def handle(self):
        try:
            print("line", self.rfile.readline().decode().strip(), flush=True)
            self.rfile.readline()
        except ConnectionError:
            # EPIPE where a thread waits in a read, ECONNRESET where it reads later.
            print("reset", flush=True)


class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True


def first_line(path):
    with open(path) as file:
        return file.readline().strip()


def local():
    connection = socket.create_connection(("127.0.0.1", 8080))
    connection.sendall(b"GET /local HTTP/1.0\r\n\r\n")
    return connection.makefile().read().splitlines()[-1]


ANSWERS = {
    "token": lambda: secrets.token_hex(16),
    "openssl": lambda: ssl.RAND_bytes(16).hex(),
    "realtime": lambda: repr(time.time()),
    "monotonic": lambda: repr(time.monotonic()),
    "name": lambda: f"{os.uname().nodename} {first_line('/etc/hostname')}",
    "machine-id": lambda: first_line("/etc/machine-id"),
    "hook": lambda: first_line("/run/hook") if os.path.exists("/run/hook") else "none",
    "signals": lambda: " ".join(signals),
    "local": local,
    "kept": lambda: f"{kept.recv(100).decode()} {pair.send(b'again')}",
}

secrets.token_hex(16), ssl.RAND_bytes(16)
web = Threads(("0.0.0.0", 8080), Handler)
threading.Thread(target=web.serve_forever, daemon=True).start()
lines = Threads(("0.0.0.0", 8081), Lines)
threading.Thread(target=lines.serve_forever, daemon=True).start()
# A connection inside the machine, with something on its way.
listener = socket.create_server(("127.0.0.1", 8082))
pair = socket.create_connection(("127.0.0.1", 8082))
kept, _ = listener.accept()
pair.sendall(b"kept")
print("serving", time.monotonic(), flush=True)
notify = os.environ.get("NOTIFY_SOCKET")
if notify:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.sendto(b"STATUS=serving\nREADY=1", notify.replace("@", "\0", 1))
for line in sys.stdin:
    print(ANSWERS[line.strip()](), flush=True)
