"""What the blocking and the asyncio client share: messages in and out, without a socket."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring import errors
from adaspring.serve import protocol
from adaspring.serve.protocol import DEFAULT_LIMITS, MetaHeader

Array: TypeAlias = npt.NDArray[Any]
H = TypeVar("H", bound=msgspec.Struct)

_ERRORS: dict[str, type[errors.ReplyError]] = {
    kind.code: kind
    for kind in (
        errors.InvalidArgumentError,
        errors.NotFoundError,
        errors.UnavailableError,
        errors.DeadlineExceededError,
        errors.CancelledError,
        errors.UnsupportedError,
        errors.InternalError,
    )
}


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a request.

    Attributes:
        outputs: Shape ``(n, outputs)``, read-only.
        labels: The label of the largest output of each sample; empty where outputs are no classes.
        subnet: Name of the subnet that answered.
        generation: Its number since the daemon started.
        queue_us: From arrival to the start of compute, in microseconds.
        compute_us: Compute of the batch, in microseconds.
        round_trip_us: From sending to the answer, as the client saw it, in microseconds.
    """

    outputs: Array
    labels: tuple[str, ...]
    subnet: str
    generation: int
    queue_us: int
    compute_us: int
    round_trip_us: float

    @property
    def label(self) -> str | None:
        """The label of the first sample; None where outputs are no classes."""
        return self.labels[0] if self.labels else None


class Outgoing(NamedTuple):
    """A message to send.

    Attributes:
        id: What its reply will carry.
        frames: To send.
    """

    id: str
    frames: list[bytes]


class Incoming(NamedTuple):
    """A reply whose request is known, but whose header is undecoded.

    Attributes:
        id: Of the request.
        message: The reply.
    """

    id: str
    message: protocol.Message


class Codec:
    """Numbers requests, encodes them, decodes replies, and remembers what META said."""

    def __init__(self, model: str | None) -> None:
        """Speak to one model.

        Args:
            model: Its name; None for the only one that is served.
        """
        self._model = model
        self._numbers = itertools.count(1)
        self._metadata: MetaHeader | None = None

    @property
    def metadata(self) -> MetaHeader | None:
        """What META said last, as long as it holds."""
        return self._metadata

    def query(self, kind: bytes, *, cancel_id: str | None = None) -> Outgoing:
        """A message other than INFER."""
        request_id = self.next_id()
        names_model = kind in {protocol.READY, protocol.META, protocol.STATS}
        model_name = self._model if names_model and self._model else ""
        return Outgoing(request_id, protocol.encode_query(kind, request_id, model_name=model_name, cancel_id=cancel_id))

    def infer(
        self,
        x: npt.ArrayLike,
        metadata: MetaHeader,
        *,
        timeout_us: int | None,
        priority: int | None,
        request_id: str | None = None,
        raw: bool = False,
    ) -> Outgoing:
        """An INFER request.

        Args:
            x: One sample or a batch. float64, in which Python counts, is sent as float32;
                everything else as it is.
            metadata: What META said.
            timeout_us: After which the answer is of no use, in microseconds.
            priority: 1 is the highest.
            request_id: An id of the caller's choice.
            raw: Whether `x` is what a sensor gives and not the input itself.

        Raises:
            UnsupportedError: If raw samples are not taken.
        """
        array = as_sent(x)
        name, extents = metadata.inputs[0].name, len(metadata.inputs[0].shape) - 1
        if raw:
            taken = raw_input(metadata)
            name, extents = taken.name, len(taken.shape)
        if array.ndim == extents:
            array = array[None]
        request_id = request_id or self.next_id()
        frames = protocol.encode_infer(request_id, metadata.name, name, array, timeout_us=timeout_us, priority=priority)
        return Outgoing(request_id, frames)

    def open(self, frames: list[bytes]) -> Incoming:
        """Find out which request a reply belongs to.

        Raises:
            ProtocolError: If it is no reply.
        """
        message = protocol.open_reply(frames, DEFAULT_LIMITS)
        return Incoming(protocol.read_id(message.header, DEFAULT_LIMITS), message)

    def check(self, incoming: Incoming) -> protocol.Message:
        """The reply, if it is a good one.

        Raises:
            ReplyError: If the daemon refused the request.
            ProtocolError: If the reply breaks the protocol.
        """
        if incoming.message.type != protocol.ERR:
            return incoming.message
        header = protocol.decode_answer(incoming.message, protocol.ErrorHeader, DEFAULT_LIMITS)
        error = reply_error(header.code, header.error, header.retry_after_ms)
        if isinstance(error, errors.NotFoundError):
            self._metadata = None
        raise error

    def answer(self, incoming: Incoming, header_type: type[H]) -> H:
        """Decode the answer to another query; raises as `check` does."""
        return protocol.decode_answer(self.check(incoming), header_type, DEFAULT_LIMITS)

    def meta(self, incoming: Incoming) -> MetaHeader:
        """Decode and remember the answer to META; raises as `check` does."""
        self._metadata = self.answer(incoming, MetaHeader)
        return self._metadata

    def reply(self, incoming: Incoming) -> protocol.InferReply:
        """Decode the answer to INFER; raises as `check` does.

        What META said is forgotten if another version of the model answered.
        """
        reply = protocol.decode_infer_reply(self.check(incoming), DEFAULT_LIMITS)
        if self._metadata is not None and reply.header.model_version not in self._metadata.versions:
            self._metadata = None
        return reply

    def next_id(self) -> str:
        """An id that no other message of this client has."""
        return f"r{next(self._numbers)}"


def reply_error(code: str, message: str, retry_after_ms: int | None = None) -> errors.ReplyError:
    """The exception for an error code; `ReplyError` itself, with that code, for one of a later release."""
    kind = _ERRORS.get(code, errors.ReplyError)
    error = kind(message, retry_after_ms=retry_after_ms)
    error.code = code
    return error


def result(reply: protocol.InferReply, metadata: MetaHeader, round_trip_us: float) -> Result:
    """What a caller gets."""
    names = metadata.outputs[0].parameters.labels
    facts = reply.header.parameters
    return Result(
        outputs=reply.outputs,
        labels=tuple(names[index] for index in reply.outputs.argmax(axis=1)) if names else (),
        subnet=facts.subnet,
        generation=facts.generation,
        queue_us=facts.queue_us,
        compute_us=facts.compute_us,
        round_trip_us=round_trip_us,
    )


def as_sent(x: npt.ArrayLike) -> Array:
    """An array as it is sent: float64, in which Python counts, as float32, and everything else as it is."""
    array = np.asarray(x)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def raw_input(metadata: MetaHeader) -> protocol.RawInput:
    """What raw samples the model takes.

    Raises:
        UnsupportedError: If it takes none.
    """
    taken = metadata.parameters.preprocessing
    if taken is None:
        raise errors.UnsupportedError(
            f"model {metadata.name!r} takes no raw samples: its bundle declares no preprocessing"
        )
    return taken
