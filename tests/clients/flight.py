"""Sends the first bytes of connections as it is told on standard input, one order a line.

Standard output says how each of them ended. Orders and answers are those of `Order` and `Landing`
in the harness.
"""

import errno
import json
import os
import socket
import struct
import sys
import time

MSG_FASTOPEN = 0x20000000
MSG_ZEROCOPY = 0x4000000
SO_ZEROCOPY = 60
SOL_UDP = 17
UDP_SEGMENT = 103

# Long beside what a refusal takes, short beside what the test waits for.
PATIENCE_SECONDS = 5


class Ended(Exception):
    """The other side closed the connection before it had answered."""


def main():
    for line in sys.stdin:
        order = json.loads(line)
        # A socket belongs to the cgroup that its process is in when it makes it.
        with open(order["cgroup"] + "/cgroup.procs", "w") as procs:
            procs.write(str(os.getpid()))
        for name in order["names"]:
            socket.getaddrinfo(name, 443)
        print(json.dumps(fly(order["flight"])), flush=True)


def fly(flight):
    start = time.monotonic()
    answer = bytearray()
    error = None
    try:
        if flight["udp"]:
            send_datagrams(flight)
        else:
            call(flight, answer)
    except TimeoutError:
        error = "timeout"
    except Ended:
        error = "end"
    except OSError as refused:
        error = errno.errorcode.get(refused.errno, str(refused))
    seconds = time.monotonic() - start
    return {"error": error, "answer": answer.decode("latin-1"), "seconds": seconds}


def address(flight):
    host, _, port = flight["to"].rpartition(":")
    return host.strip("[]"), int(port)


def call(flight, answer):
    with socket.socket(socket.AF_INET6 if "[" in flight["to"] else socket.AF_INET) as stream:
        stream.settimeout(PATIENCE_SECONDS)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if flight["max_segment"]:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, flight["max_segment"])
        if flight["how"] == "zerocopy":
            stream.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        if flight["how"] != "fastopen":
            stream.connect(address(flight))
        for step in flight["steps"]:
            pieces = [bytes.fromhex(piece) for piece in step["pieces"]]
            for number, piece in enumerate(pieces):
                if flight["how"] == "fastopen" and number == 0:
                    stream.sendto(piece, MSG_FASTOPEN, address(flight))
                else:
                    send(stream, flight["how"], piece, number + 1 == len(pieces))
            receive(stream, step["answer"], answer)


def send(stream, how, piece, is_last):
    if how == "sendfile":
        with os.fdopen(os.memfd_create("piece"), "w+b") as file:
            file.write(piece)
            file.seek(0)
            stream.sendfile(file)
        return
    flags = 0
    if how == "urgent" and is_last:
        stream.send(b"x", socket.MSG_OOB)
    if how == "zerocopy":
        flags = MSG_ZEROCOPY
    elif how == "more" and not is_last:
        flags = socket.MSG_MORE
    while piece:
        piece = piece[stream.send(piece, flags) :]


def receive(stream, count, answer):
    end = len(answer) + count
    while len(answer) < end:
        part = stream.recv(end - len(answer))
        if not part:
            raise Ended
        answer += part


def send_datagrams(flight):
    family = socket.AF_INET6 if "[" in flight["to"] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.settimeout(PATIENCE_SECONDS)
        if flight["how"] == "connected":
            sender.connect(address(flight))
        for step in flight["steps"]:
            datagrams = [bytes.fromhex(piece) for piece in step["pieces"]]
            if flight["how"] == "segments":
                size = struct.pack("=H", len(datagrams[0]))
                control = [(SOL_UDP, UDP_SEGMENT, size)]
                sender.sendmsg(datagrams, control, 0, address(flight))
                continue
            for datagram in datagrams:
                if flight["how"] == "connected":
                    sender.send(datagram)
                else:
                    sender.sendto(datagram, address(flight))


main()
