"""Serves the folder of a page as any static server would, but for a visitor in the page, and prints what it tells.

    server.py FOLDER VISITOR_JS

The first line printed is the port.
"""

import functools
import http.server
import io
import pathlib
import sys

FOLDER, VISITOR = sys.argv[1:]


class Handler(http.server.SimpleHTTPRequestHandler):
    def send_head(self):
        if not self.path.startswith("/?"):
            return super().send_head()
        visited = pathlib.Path(FOLDER, "index.html").read_bytes()
        visited += b"<script>" + pathlib.Path(VISITOR).read_bytes() + b"</script>"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(visited)))
        self.end_headers()
        return io.BytesIO(visited)

    def do_POST(self):
        print(self.rfile.read(int(self.headers["content-length"])).decode(), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=FOLDER)) as server:
    print(server.server_port, flush=True)
    server.serve_forever()
