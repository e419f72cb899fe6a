"""A shop's orders in SQLite, by HTTP: /add/AMOUNT takes one, every answer tells how many there are, what they come to, and
whether the file is sound."""

import http.server
import sqlite3

database = sqlite3.connect("/var/orders.db")
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, amount INTEGER)")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/add/"):
            with database:
                database.execute("INSERT INTO orders (amount) VALUES (?)", (int(self.path.split("/")[2]),))
        count, total = database.execute("SELECT count(*), total(amount) FROM orders").fetchone()
        sound = database.execute("PRAGMA integrity_check").fetchone()[0]
        body = f"{count} orders, {total:.0f}, {sound}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
