"""Adds up orders in an SQLite database in memory."""

import sqlite3


def totals(orders):
    """Returns (customer, number of orders, cents) by falling amount."""
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE orders (customer TEXT, item TEXT, count INTEGER, cents INTEGER)")
        database.executemany("INSERT INTO orders VALUES (:customer, :item, :count, :cents)", orders)
        return database.execute(
            "SELECT customer, COUNT(*), SUM(count * cents) AS amount FROM orders"
            " GROUP BY customer ORDER BY amount DESC, customer"
        ).fetchall()
