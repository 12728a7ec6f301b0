from __future__ import annotations

import re
from pathlib import Path

from adaspring.app.messages import Message, told


def test_every_kind_is_explained(clone: Path) -> None:
    """The catalogue has one entry for each kind of event, with a subject and an explanation."""
    text = (clone / "deploy" / "journal" / "adaspring.catalog").read_text(encoding="utf-8")
    entries = re.split(r"^-- ([0-9a-f]{32})$", text, flags=re.MULTILINE)[1:]
    explained = dict(zip(entries[::2], entries[1::2], strict=True))
    assert {message.value for message in Message} == set(explained)
    for entry in explained.values():
        assert re.match(r"\nSubject: .+\nDefined-By: AdaSpring\n\n.+\.\n", entry, flags=re.DOTALL)


def test_facts_become_fields() -> None:
    """Names that the journal takes, values as text."""
    assert {"MESSAGE_ID": Message.SUBNET_CHANGED.value, "ADASPRING_SUBNET": "f32:c16", "ADASPRING_TOTAL_US": "12"} == (
        told(Message.SUBNET_CHANGED, subnet="f32:c16", total_us=12)
    )
