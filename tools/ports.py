"""Ports of this host for programs that start and stop beside each other: what one folder has, no other folder gets.

A port that nobody listens on may still be somebody's: of a program that is about to start, or that was stopped and starts again. So
which folder has which port is kept in a file, as long as the folder exists. Clients get none of them: the kernel takes theirs from
32768 on.
"""
import contextlib
import fcntl
import json
import os
import pathlib
import random
import socket
import tempfile

RANGE = range(12000, 32768)


def can_bind(host, port, kind):
    with socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:  # as servers do, so that connections of before do not matter
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def has_ipv6():
    try:
        return can_bind('::1', 0, socket.SOCK_STREAM)
    except OSError:
        return False


def is_free(port, hosts=None):
    """For TCP and UDP at all these addresses; without any given, at those of loopback."""
    hosts = hosts or ['127.0.0.1'] + ['::1'] * has_ipv6()
    return all(can_bind(host, port, kind) for host in hosts for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))


@contextlib.contextmanager
def reserved_ports():
    """Port, as text: folder; for one at a time."""
    path = pathlib.Path(tempfile.gettempdir()) / f'posthorn-ports-{os.getuid()}'
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), 'r+', encoding='utf-8') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            reserved = {port: folder for port, folder in json.load(file).items() if os.path.isdir(folder)}
        except ValueError:  # new, or whoever wrote it was ended halfway
            reserved = {}
        yield reserved
        file.seek(0)
        file.truncate()
        json.dump(reserved, file)


def take(folder, count, hosts=None, own=()):
    """So many ports that nobody has, which are the folder's from now on, as are those that it says it has."""
    with reserved_ports() as reserved:
        reserved |= {str(port): str(folder) for port in own}
        free = (port for port in random.sample(RANGE, len(RANGE)) if str(port) not in reserved and is_free(port, hosts))
        taken = [next(free) for _ in range(count)]
        reserved |= {str(port): str(folder) for port in taken}
    return taken
