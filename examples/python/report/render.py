"""Turns totals into text or JSON."""

import hashlib
import json


def seal(totals):
    """A digest that two equal reports share."""
    return hashlib.sha256(json.dumps(totals).encode()).hexdigest()


def text(totals, currency):
    lines = [
        f"{customer:<10} {orders:>2} orders {cents / 100:>10.2f} {currency}"
        for customer, orders, cents in totals
    ]
    return "\n".join([*lines, f"sha256 {seal(totals)}"])


def as_json(totals, currency):
    rows = [
        {"customer": customer, "orders": orders, "cents": cents}
        for customer, orders, cents in totals
    ]
    return json.dumps({"currency": currency, "totals": rows, "sha256": seal(totals)}, indent=2)


FORMATS = {"text": text, "json": as_json}
