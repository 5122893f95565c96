"""Answers itself, in a network namespace of its own, as a resolver that the host believes.

usage: spoof.py RESOLVER NAME ADDRESS
"""

import socket
import struct
import sys

resolver, name, address = sys.argv[1:]
question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
message = struct.pack(">6H", 7, 0x8180, 1, 1, 0, 0) + question + struct.pack(">2H", 1, 1)
message += struct.pack(">3HIH", 0xC00C, 1, 1, 3600, 4) + socket.inet_aton(address)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((resolver, 53))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind((resolver, 0))
server.sendto(message, client.getsockname())
assert client.recv(512) == message
