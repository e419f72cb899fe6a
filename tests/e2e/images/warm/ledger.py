"""A ledger in SQLite, open and in the middle of its work: one line in, the sum so far out."""

import sqlite3
import sys

ledger = sqlite3.connect("/var/ledger.db")
ledger.execute("PRAGMA journal_mode = WAL")
ledger.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, amount INTEGER)")
with ledger:
    ledger.executemany("INSERT INTO entry (amount) VALUES (?)", ((n,) for n in range(5000)))
reader = sqlite3.connect("/var/ledger.db")
cursor = reader.execute("SELECT amount FROM entry ORDER BY id")
seen = sum(row[0] for row in cursor.fetchmany(100))
# Begun before the freeze, ended after it.
ledger.execute("BEGIN")
ledger.execute("INSERT INTO entry (amount) VALUES (1)")
print("ready", flush=True)
for line in sys.stdin:
    ledger.execute("INSERT INTO entry (amount) VALUES (?)", (int(line),))
    ledger.commit()
    seen += sum(row[0] for row in cursor.fetchall())
    total = ledger.execute("SELECT sum(amount) FROM entry").fetchone()[0]
    check = ledger.execute("PRAGMA integrity_check").fetchone()[0]
    print(total, seen, check, flush=True)
