"""Queue adapters behind `dagdeck_core.ports.Broker`: Redis Streams, in memory, in memory on a socket, off.

Composition roots call `broker_for` or `open_broker`; the supervisor of standalone serves `EmbeddedQueueServer`;
tests use `MemoryQueues` and `MemoryBroker`.
"""

from dagdeck_io.broker.embedded_server import EmbeddedQueueServer
from dagdeck_io.broker.limits import BrokerLimits
from dagdeck_io.broker.memory import MemoryBroker, MemoryQueues
from dagdeck_io.broker.off import OffBroker
from dagdeck_io.broker.opening import QueueBroker, broker_for, limits_of, open_broker
from dagdeck_io.broker.socket_broker import SocketBroker

__all__ = [
    "BrokerLimits",
    "EmbeddedQueueServer",
    "MemoryBroker",
    "MemoryQueues",
    "OffBroker",
    "QueueBroker",
    "SocketBroker",
    "broker_for",
    "limits_of",
    "open_broker",
]
