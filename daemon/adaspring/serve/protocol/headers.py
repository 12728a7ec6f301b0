"""JSON headers of queries, replies and errors (those of INFER requests: `requests`)."""

from __future__ import annotations

from typing import Any

import msgspec

from adaspring.serve.protocol.signature import ModelSignature, RawInput
from adaspring.serve.protocol.tensors import TensorHeader

#: What META calls the thing that computes.
PLATFORM = "adaspring"


class QueryParameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """Parameters of a message other than INFER.

    Attributes:
        cancel_id: CANCEL: the ``id`` of the request to cancel.
    """

    cancel_id: str | None = None


class QueryHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """LIVE, READY, META, STATS and CANCEL.

    Attributes:
        id: Echoed in the reply.
        model_name: The model asked about; empty for the only one that is served, or for all.
        parameters: See `QueryParameters`.
    """

    id: str = ""
    model_name: str = ""
    parameters: QueryParameters = QueryParameters()


class ErrorHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an ERR reply says.

    Attributes:
        id: Of the request; empty where it could not be read.
        code: One of the codes of the protocol.
        error: A sentence that says what was expected.
        retry_after_ms: When to try again, in milliseconds, where that is known.
        sequence: Of the window of a stream that has no result; 0 where a piece was refused.
    """

    id: str
    code: str
    error: str
    retry_after_ms: int | None = None
    sequence: int | None = None


class ReplyParameters(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What answered a request, and how long that took.

    Attributes:
        subnet: Name of the subnet.
        generation: Its number since the daemon started.
        queue_us: From arrival to the start of compute, in microseconds.
        compute_us: Compute of the batch, in microseconds.
        batch: Requests that were computed together.
        preprocess_us: Raw samples to inputs, in microseconds; None where inputs were sent.
        sequence: Stream: counts its windows from 1, those without a result included.
        first_sample: Stream: index of the window's first sample.
        gap: Stream: samples missing between this window and the one before.
    """

    subnet: str
    generation: int
    queue_us: int
    compute_us: int
    batch: int = 1
    preprocess_us: int | None = None
    sequence: int | None = None
    first_sample: int | None = None
    gap: int = 0


class InferReplyHeader(msgspec.Struct, frozen=True, gc=False):
    """What an INFER reply says beside its tensors."""

    id: str
    model_name: str
    model_version: str
    outputs: tuple[TensorHeader, ...]
    parameters: ReplyParameters


class LiveHeader(msgspec.Struct, frozen=True):
    """The answer to LIVE."""

    id: str
    live: bool


class ReadyHeader(msgspec.Struct, frozen=True):
    """The answer to READY: false while the daemon drains. The name is empty where several models are asked about."""

    id: str
    name: str
    ready: bool


class TensorMetaParameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the Open Inference Protocol does not say about a tensor.

    Attributes:
        datatypes: Input: every datatype accepted.
        labels: Output: what each value stands for.
    """

    datatypes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


class TensorMeta(msgspec.Struct, frozen=True):
    """A tensor that the model takes or gives; -1 marks the batch axis."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: TensorMetaParameters


class MetaParameters(msgspec.Struct, frozen=True):
    """What answers at present, and what else may be sent.

    Attributes:
        subnet: Name of the active subnet.
        generation: Its number since the daemon started.
        extra: What the application adds, for example what it expects of the subnet.
        preprocessing: The raw input that may be sent instead; None where there is none.
    """

    subnet: str
    generation: int
    extra: dict[str, Any]
    preprocessing: RawInput | None = None


class MetaHeader(msgspec.Struct, frozen=True):
    """The answer to META."""

    id: str
    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMeta, ...]
    outputs: tuple[TensorMeta, ...]
    parameters: MetaParameters


def meta_header(request_id: str, model: ModelSignature, parameters: MetaParameters) -> MetaHeader:
    """The answer to META for a model."""
    taken = TensorMeta(
        model.input_name, model.datatypes[0], (-1, *model.input_shape), TensorMetaParameters(datatypes=model.datatypes)
    )
    given = TensorMeta(model.output_name, "FP32", (-1, model.outputs), TensorMetaParameters(labels=model.labels))
    return MetaHeader(request_id, model.name, (model.version,), PLATFORM, (taken,), (given,), parameters)


class Statistics(msgspec.Struct, frozen=True):
    """What the data plane did since it started, for one model or for all together.

    The counters are read one after the other while it goes on, so they may differ by
    the message in hand.

    Attributes:
        received: Messages of every type; of one model, the requests and windows for it.
        samples: Samples asked for by well-formed INFER requests and windows of streams, computed or not.
        answered: INFER requests and windows computed and answered.
        rejected: Messages refused, by reason.
        expired: Requests whose deadline passed before they were computed.
        cancelled: Requests that their client cancelled in time.
        failed: Requests on which the subnet failed.
        undelivered: Replies whose client was gone or did not read.
        batches: Runs of the subnet that answered several requests at once.
        streams: Streams open now.
        queue_depth: Requests that wait now.
        last_progress_s: When the loop last turned, on its monotonic clock, in seconds.
        generation: Generation that computed last; 0 before the first request. Of several models, the highest.
    """

    received: int
    samples: int
    answered: int
    rejected: dict[str, int]
    expired: int
    cancelled: int
    failed: int
    undelivered: int
    batches: int
    streams: int
    queue_depth: int
    last_progress_s: float
    generation: int


class StatsHeader(msgspec.Struct, frozen=True):
    """The answer to STATS."""

    id: str
    statistics: Statistics


class CancelHeader(msgspec.Struct, frozen=True):
    """The answer to CANCEL: whether the request still waited. It is answered CANCELLED itself."""

    id: str
    cancelled: bool
