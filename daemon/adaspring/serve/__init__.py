"""Wire protocol, request queue, the ROUTER loop, events and the control socket.

Nothing is imported here, so that a client can import `serve.protocol` without the
rest of the daemon.
"""
