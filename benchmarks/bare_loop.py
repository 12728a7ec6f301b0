"""The least that an inference server can do: what the data plane is held against.

A ROUTER, a header decoded by msgspec, the session, a header encoded, a reply. No check, no
queue, no deadline, no priority, no fairness, no statistics: it answers good requests alone.
"""

from __future__ import annotations

import msgspec
import numpy as np
import zmq

from adaspring.engine import Subnet


class Parameters(msgspec.Struct):
    """Length of a tensor's frame."""

    binary_data_size: int


class Tensor(msgspec.Struct):
    """A tensor of a message."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters


class Request(msgspec.Struct):
    """Header of a request."""

    id: str
    inputs: list[Tensor]


class Reply(msgspec.Struct):
    """Header of a reply."""

    id: str
    model_name: str
    outputs: list[Tensor]


def bare_loop(socket: zmq.Socket[bytes], subnet: Subnet) -> None:
    """Answer until the process is ended.

    Args:
        socket: A bound ROUTER.
        subnet: What computes.
    """
    decode, encode = msgspec.json.Decoder(Request).decode, msgspec.json.Encoder().encode
    while True:
        identity, magic, _kind, header, frame = socket.recv_multipart()
        request = decode(header)
        # A copy, as the engine needs memory that it may write to.
        batch = np.frombuffer(frame, np.float32).reshape(request.inputs[0].shape).copy()
        outputs = subnet.run(batch)
        data = outputs.tobytes()
        tensor = Tensor("logits", "FP32", list(outputs.shape), Parameters(len(data)))
        socket.send_multipart([identity, magic, b"OK", encode(Reply(request.id, "bare", [tensor])), data])
