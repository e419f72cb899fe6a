"""A web application: notes in a database, read and written as JSON over HTTP.

With a number it is its own client, too: it answers so many requests over the loopback interface and prints a
checksum of the answers. That is what it is trained on and measured by.
"""

import json
import os
import socket
import sqlite3
import sys
import zlib
from socketserver import TCPServer
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

PORT = 8000


class Notes:
    def __init__(self):
        self.database = sqlite3.connect(":memory:")
        self.database.execute("create table notes (id integer primary key, author text, text text)")
        self.database.execute("create index by_author on notes (author)")

    def __call__(self, environ, start_response):
        answer = self.add(environ) if environ["REQUEST_METHOD"] == "POST" else self.of(environ["PATH_INFO"][1:])
        body = json.dumps(answer).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def add(self, environ):
        note = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        cursor = self.database.execute(
            "insert into notes (author, text) values (?, ?)", (note["author"], note["text"]))
        self.database.commit()
        return {"id": cursor.lastrowid}

    def of(self, author):
        rows = self.database.execute(
            "select id, text from notes where author = ? order by id desc limit 20", (author,))
        return [{"id": number, "text": text, "words": len(text.split())} for number, text in rows]


class Server(WSGIServer):
    def server_bind(self):
        """Without looking up a name for the address."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", PORT
        self.setup_environ()


class Handler(WSGIRequestHandler):
    def address_string(self):
        return self.client_address[0]

    def log_message(self, *_):
        pass


def request(number):
    author = f"author{number % 7}"
    if number % 4:
        return f"GET /{author} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n".encode()
    body = json.dumps({"author": author, "text": f"note {number} " * (1 + number % 5)})
    return (f"POST / HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


def ask(number):
    with socket.create_connection(("127.0.0.1", PORT)) as connection:
        connection.sendall(request(number))
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer.partition(b"\r\n\r\n")[2]


def main():
    server = Server(("", PORT), Handler)
    server.set_app(Notes())
    if len(sys.argv) < 2:
        server.serve_forever()
    requests = int(sys.argv[1])
    if os.fork() == 0:
        for _ in range(requests):
            server.handle_request()
        os._exit(0)
    checksum = 0
    for number in range(requests):
        checksum = zlib.crc32(ask(number), checksum)
    print(f"{checksum:08x}")


main()
