"""Compares what an HTTP server sends with the numbers from 0 on, over and over: URL, repetitions."""

import array
import sys
import urllib.request

block = array.array("I", range(1 << 19)).tobytes()
with urllib.request.urlopen(sys.argv[1]) as response:
    for _ in range(int(sys.argv[2])):
        assert response.read(len(block)) == block
    assert response.read() == b""
print("exact")
