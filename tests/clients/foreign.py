"""Uses a socket that another workload has made, and prints how that ended.

Arguments: how the socket changes hands, what is done with it, the cgroups of maker and caller, the
server's address, and one that nobody governs. The name of the error is printed, `silence` if no
answer came, or `through`.
"""

import ctypes
import errno
import os
import signal
import socket
import struct
import sys
import time

SYS_PIDFD_GETFD = 438
MSG_FASTOPEN = 0x20000000
IPPROTO_MPTCP = 262
PATIENCE_SECONDS = 3
# Long beside what it takes to end a connection.
PAUSE_SECONDS = 0.5

libc = ctypes.CDLL(None, use_errno=True)


def main():
    way, use, maker, caller, server, elsewhere = sys.argv[1:]
    make, call = USES[use]
    server, elsewhere = address(server), address(elsewhere)
    # Whatever goes wrong, nothing stays.
    signal.alarm(30)
    enter(maker)
    if way == "joined":
        made = make(server, elsewhere)
        enter(caller)
        print(outcome(call, made, server))
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    made = make(server, elsewhere) if way == "inherited" else None
    child = os.fork()
    if child == 0:
        enter(caller)
        theirs.send(b"ready")
        made = made or fetch(way, theirs)
        theirs.send(outcome(call, made, server).encode())
        os._exit(0)
    ours.recv(16)
    if way == "passed":
        made = make(server, elsewhere)
        socket.send_fds(ours, [b"take it"], [made.fileno()])
    elif way == "fetched":
        made = make(server, elsewhere)
        ours.send(struct.pack("ii", os.getpid(), made.fileno()))
    print(ours.recv(64).decode())
    os.waitpid(child, 0)


def enter(cgroup):
    with open(cgroup + "/cgroup.procs", "w") as procs:
        procs.write(str(os.getpid()))


def address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def fetch(way, messages):
    if way == "passed":
        _, fds, _, _ = socket.recv_fds(messages, 16, 1)
        return socket.socket(fileno=fds[0])
    pid, fd = struct.unpack("ii", messages.recv(8))
    got = libc.syscall(SYS_PIDFD_GETFD, os.pidfd_open(pid), fd, 0)
    if got < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return socket.socket(fileno=got)


def outcome(call, made, server):
    try:
        made.settimeout(PATIENCE_SECONDS)
        call(made, server)
        return "through"
    except TimeoutError:
        return "silence"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def tcp(_server, _elsewhere):
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def mptcp(_server, _elsewhere):
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)


def udp(_server, _elsewhere):
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def connected(server, _elsewhere):
    return socket.create_connection(server)


def connected_udp(server, _elsewhere):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.connect(server)
    return made


def connected_elsewhere(_server, elsewhere):
    return socket.create_connection(elsewhere)


def listening(_server, elsewhere):
    listener = socket.create_server((elsewhere[0], 0))
    peer = os.fork()
    if peer == 0:
        echo(socket.create_connection(listener.getsockname(), source_address=PEER))
        os._exit(0)
    return listener


# The peer that calls a listener.
PEER = ("127.8.0.3", 4443)


def echo(stream):
    while data := stream.recv(16):
        stream.send(data)


def ask(stream):
    stream.send(b"prompt")
    if not stream.recv(16):
        raise OSError(errno.EPIPE, "the end")


def connect(made, server):
    made.connect(server)
    ask(made)


def reconnect(made, server):
    nowhere = struct.pack("H14x", socket.AF_UNSPEC)
    if libc.connect(made.fileno(), nowhere, len(nowhere)) != 0:
        raise OSError(ctypes.get_errno(), "connect")
    connect(made, server)


def fast_open(made, server):
    # Only a call that waits sends at once; the kernel keeps the time.
    made.settimeout(None)
    patience = struct.pack("ll", PATIENCE_SECONDS, 0)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
    made.sendto(b"prompt", MSG_FASTOPEN, server)
    made.recv(16)


def send_to(made, server):
    made.sendto(b"prompt", server)
    made.recv(16)


def send(made, _server):
    ask(made)
    time.sleep(PAUSE_SECONDS)
    ask(made)


def splice(made, _server):
    reader, writer = os.pipe()
    for _ in range(2):
        os.write(writer, b"prompt")
        os.splice(reader, made.fileno(), 6)
        if not made.recv(16):
            raise OSError(errno.EPIPE, "the end")
        time.sleep(PAUSE_SECONDS)


def accept(made, _server):
    stream, _ = made.accept()
    stream.settimeout(PATIENCE_SECONDS)
    send(stream, None)


USES = {
    "connect": (tcp, connect),
    "connect-mptcp": (mptcp, connect),
    "connect-udp": (udp, connect),
    "reconnect": (connected_elsewhere, reconnect),
    "fast-open": (tcp, fast_open),
    "sendto": (udp, send_to),
    "send": (connected, send),
    "send-udp": (connected_udp, send),
    "splice": (connected, splice),
    "accept": (listening, accept),
}

if __name__ == "__main__":
    main()
