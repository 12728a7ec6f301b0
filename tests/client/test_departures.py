"""The monitor of a connection, where nobody listens to it for long."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

#: Watches a connection that is refused again and again, and closes it when a line comes.
WATCHES = """
import sys, zmq
from adaspring.client.departures import Monitored
context = zmq.Context()
watched = context.socket(zmq.DEALER)
watched.linger, watched.reconnect_ivl = 0, 1
monitored = Monitored(watched)
for _ in range(16):
    watched.connect(sys.argv[1])
sys.stdin.readline()
monitored.close()
context.term()
"""


def test_a_client_that_nobody_let_in_while_it_was_idle_can_be_closed() -> None:
    """Where there is no room to tell what nobody takes in, libzmq waits for some, and holds its own lock meanwhile."""
    dropped = 0
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def drop() -> None:
            nonlocal dropped
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return
                dropped += 1

        threading.Thread(target=drop, daemon=True).start()
        command = [sys.executable, "-c", WATCHES, f"tcp://127.0.0.1:{listener.getsockname()[1]}"]
        # In a process of its own: what hangs in libzmq would hold the interpreter's lock.
        with subprocess.Popen(command, stdin=subprocess.PIPE) as client:
            try:
                before = -1
                while before != dropped or dropped == 0:
                    before = dropped
                    time.sleep(0.5)
                assert client.poll() is None
                client.communicate(b"\n", timeout=30)
            finally:
                client.kill()
        assert (client.returncode, dropped > 1000) == (0, True)
        listener.shutdown(socket.SHUT_RDWR)
