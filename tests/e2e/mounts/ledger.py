"""Checks a database, then adds rows to it for ever and prints the number of each one committed."""

import sqlite3
import sys

database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("pragma synchronous = full")
database.execute("create table if not exists ledger (number integer primary key, text)")
state, = database.execute("pragma integrity_check").fetchone()
count, last = database.execute("select count(*), coalesce(max(number), 0) from ledger").fetchone()
whole, = database.execute("select count(*) from ledger where length(text) = 3000").fetchone()
print(state, count, last, whole, flush=True)
while True:
    database.execute("begin")
    for _ in range(3):
        last += 1
        database.execute("insert into ledger values (?, ?)", (last, "x" * 3000))
    database.execute("commit")
    print(last, flush=True)
