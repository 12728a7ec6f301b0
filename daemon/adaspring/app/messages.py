"""Kinds of events in the journal: a stable ``MESSAGE_ID`` each, and structured fields.

``deploy/journal/adaspring.catalog`` explains every kind for ``journalctl -x``. Where log lines go to
standard error, identifier and fields are left out and the sentence says it all.
"""

from __future__ import annotations

from enum import Enum
from typing import Any


class Message(Enum):
    """A kind of event; the value is its identifier, which never changes."""

    SERVING = "0a23cbc8aef64a8691d09c56fce2e5ba"
    STOPPING = "46f19bdc0deb477fa8cb8006970cefca"
    SUBNET_CHANGED = "cad4d0ed99ea43fabb615e71db9a9529"
    EVOLUTION_FAILED = "9fcb5f6763c4413ba9e811b2edfc14cc"
    THROTTLED = "ea337d98461649b1a25d90c9c51c2402"
    DATA_THREAD_STUCK = "424d445a4a6f493aa9d749608bdbdf18"
    TABLES_ESTIMATED = "5fe710d1e39d4a6f89dbdd8c4aa05917"
    TABLES_MEASURED = "a91b4aeb89334625827a3b040b62a140"
    RELOADED = "a647481f94194f3ba31f64a2b75ce981"
    RELOAD_REFUSED = "562d0ff702804e049147387ed9801909"
    CONFIGURATION_WRONG = "b57f52364e994b50b7e73802c825e44f"
    FAILED = "89bf2d217184435eb3d7aadb4f5da124"
    STATE_NOT_WRITTEN = "859b51c9a16d48e88961d48a08dda76a"
    BUNDLE_ON_TRIAL = "a6b139f70927486d9bc650b1922e4adb"
    BUNDLE_COMMITTED = "24980867dda5451ea7bc99e4172bcaee"
    BUNDLE_ROLLED_BACK = "c0156da95e4049f094b4799df01bc361"


def told(message: Message, **facts: Any) -> dict[str, Any]:
    """What a log call takes as ``extra`` to be an event of a kind.

    Args:
        message: The kind.
        **facts: Each becomes a field, for example ``subnet`` becomes ``ADASPRING_SUBNET``.
    """
    fields = {f"ADASPRING_{name.upper()}": str(value) for name, value in facts.items()}
    return {"MESSAGE_ID": message.value, **fields}
