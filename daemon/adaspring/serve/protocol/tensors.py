"""Tensors on the wire: little-endian, row-major, one frame each."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.serve.protocol.limits import quote, refusal

#: Datatypes of the Open Inference Protocol that have a fixed size and a numpy name.
DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
_EXPECTED = ", ".join(DATATYPES)

_Extent = Annotated[int, msgspec.Meta(ge=0)]
_Shape = Annotated[tuple[_Extent, ...], msgspec.Meta(max_length=8)]


class TensorParameters(msgspec.Struct, frozen=True, gc=False):
    """The binary tensor extension.

    Attributes:
        binary_data_size: Bytes of the frame that holds the tensor.
    """

    binary_data_size: int


class TensorHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One tensor of a message.

    Attributes:
        name: Name that the model gives it.
        datatype: One of `DATATYPES`.
        shape: With the batch axis first.
        parameters: Length of its frame.
        data: Values in JSON, which the Open Inference Protocol knows and this carrier does not take.
    """

    name: str
    datatype: str
    shape: _Shape
    parameters: TensorParameters | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The protocol's name for an element type.

    Raises:
        ProtocolError: If it has none.
    """
    datatype = _NAMES.get(dtype) or _NAMES.get(dtype.newbyteorder("<"))
    if datatype is None:
        raise refusal("datatype", f"an array of {dtype} cannot be sent; convert it to one of {_EXPECTED}")
    return datatype


def decode_tensor(header: TensorHeader, frame: bytes) -> npt.NDArray[Any]:
    """A tensor, as a read-only view of its frame.

    Raises:
        ProtocolError: If header and frame do not fit.
    """
    if header.data is not msgspec.UNSET:
        raise refusal(
            "tensors",
            f"tensor {quote(header.name)} carries its values in the header;"
            " send them in a frame of their own and its length as parameters.binary_data_size",
            code="UNSUPPORTED",
        )
    dtype = DATATYPES.get(header.datatype)
    if dtype is None:
        raise refusal(
            "datatype",
            f"tensor {quote(header.name)} has datatype {quote(header.datatype)}; expected one of {_EXPECTED}",
        )
    expected = prod(header.shape) * dtype.itemsize
    if len(frame) != expected:
        raise refusal(
            "binary_size",
            f"tensor {quote(header.name)} fills {len(frame)} bytes;"
            f" {header.datatype} of shape {quote(list(header.shape))} needs {quote(expected)}",
        )
    promised = None if header.parameters is None else header.parameters.binary_data_size
    if promised != expected:
        raise refusal(
            "binary_size",
            f"tensor {quote(header.name)} has binary_data_size {quote(promised)}; its frame has {expected} bytes",
        )
    return np.ndarray(header.shape, dtype, frame)


def encode_tensor(name: str, array: npt.NDArray[Any]) -> tuple[TensorHeader, bytes]:
    """Header and frame of an array.

    Raises:
        ProtocolError: If its type has no name in the protocol.
    """
    datatype = _NAMES.get(array.dtype)
    if datatype is None:
        datatype = datatype_of(array.dtype)
        array = array.astype(DATATYPES[datatype])
    frame = array.tobytes()
    return TensorHeader(name, datatype, array.shape, TensorParameters(len(frame))), frame
