# SPDX-License-Identifier: MIT
"""A transport of one's own under every policy: the policies are this test's arguments."""

import os
import signal
import socket
import sys
import tempfile

from example import Example


def answer_to(packet):
    return str(len(packet)).encode() + b" " + packet


def expect_packet(client, expected):
    """That the next packet is this one, whole and alone."""
    packet = client.recv(1 << 17)
    assert packet == expected, (packet[:60], len(packet), expected[:60], len(expected))


def check_boundaries(example):
    """What is sent at once comes one by one, however small or large."""
    packets = [b"a", b"two\nlines\n", b"x" * 4096, b"y" * 50000, b"b", b"c"]
    with example.connect(socket.SOCK_SEQPACKET) as client:
        for packet in packets:
            client.sendall(packet)
        for packet in packets:
            expect_packet(client, answer_to(packet))
        client.shutdown(socket.SHUT_WR)
        expect_packet(client, b"")


def refused(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        try:
            client.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return True
    return False


with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "packets")
    for policy in sys.argv[2:]:
        # SIGINT stops the server and closes it; SIGTERM drains it.
        with Example(policy, path, stop=signal.SIGINT) as example:
            check_boundaries(example)
            check_boundaries(example)
            assert not refused(path), policy
        assert example.errors == "", (policy, example.errors)
        assert not os.path.exists(path), policy

        with Example(policy, path, stop=signal.SIGTERM) as example:
            idle = example.connect(socket.SOCK_SEQPACKET)
            idle.sendall(b"first")
            expect_packet(idle, answer_to(b"first"))
            # Under the synchronous policy this one waits in the queue until the drain has ended the other.
            late = example.connect(socket.SOCK_SEQPACKET)
            late.sendall(b"of the queue")
        with idle, late:
            expect_packet(idle, b"")
            expect_packet(late, answer_to(b"of the queue"))
            expect_packet(late, b"")
        assert example.errors == "", (policy, example.errors)
        assert refused(path) and not os.path.exists(path), policy
