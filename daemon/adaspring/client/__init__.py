"""The Python client: blocking and asyncio inference, control and events."""

from adaspring.client.aio import AsyncClient
from adaspring.client.blocking import Client, Pending
from adaspring.client.control import ControlClient
from adaspring.client.core import Result
from adaspring.client.endpoints import default_endpoint
from adaspring.client.events import EventSubscriber
from adaspring.client.sample_stream import AsyncSampleStream, SampleStream
from adaspring.client.windows import Window
from adaspring.serve.protocol import Event, MetaHeader, Statistics

__all__ = [
    "AsyncClient",
    "AsyncSampleStream",
    "Client",
    "ControlClient",
    "Event",
    "EventSubscriber",
    "MetaHeader",
    "Pending",
    "Result",
    "SampleStream",
    "Statistics",
    "Window",
    "default_endpoint",
]
