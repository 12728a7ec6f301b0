"""The Python client: blocking and asyncio inference, control and events."""

from adaspring.client.aio import AsyncClient
from adaspring.client.blocking import Client
from adaspring.client.control import ControlClient
from adaspring.client.core import Result
from adaspring.client.endpoints import default_endpoint
from adaspring.client.events import EventSubscriber
from adaspring.serve.protocol import Event, MetaHeader, Statistics

__all__ = [
    "AsyncClient",
    "Client",
    "ControlClient",
    "Event",
    "EventSubscriber",
    "MetaHeader",
    "Result",
    "Statistics",
    "default_endpoint",
]
