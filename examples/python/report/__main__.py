"""Command line of the report."""

import argparse
import json
import os
import sys

from report import render, store


def main():
    parser = argparse.ArgumentParser(prog="report", description=__doc__)
    parser.add_argument("orders", help="JSON file: a list of customer, item, count, cents")
    parser.add_argument("--format", choices=render.FORMATS, default="text")
    args = parser.parse_args()

    try:
        with open(args.orders, encoding="utf-8") as file:
            orders = json.load(file)
    except (OSError, ValueError) as error:
        print(f"report: {args.orders}: {error}", file=sys.stderr)
        return 1
    totals = store.totals(orders)
    currency = os.environ.get("REPORT_CURRENCY", "EUR")
    print(render.FORMATS[args.format](totals, currency))
    python = sys.version.split()[0]
    print(f"computed by Python {python} on {os.uname().machine}", file=sys.stderr)
    return 0


sys.exit(main())
