"""What a delta channel is rebuilt from: its last stored value, and the writes since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from infrastructure.memory.memori.checkpoint_bodies import Typed
from infrastructure.memory.memori.checkpoint_records import Place
from infrastructure.memory.memori.checkpoint_rows import find, values_of, writes_of
from infrastructure.memory.memori.checkpoint_upkeep import ancestors
from infrastructure.memory.memori.dialect import Tx


@dataclass(slots=True)
class ChannelHistory:
    """What the ancestors of a checkpoint tell of a channel.

    Fields:
        writes: as (task, channel, value), oldest first.
        seed: the nearest stored value, from before the writes; None where there is none.
    """

    writes: list[tuple[str, str, Typed]] = field(default_factory=list[tuple[str, str, Typed]])
    seed: Typed | None = None


def histories(
    tx: Tx, place: Place, checkpoint_id: str | None, channels: Sequence[str]
) -> dict[str, ChannelHistory]:
    """The history of each channel, along the parents of a checkpoint and without its own writes.

    Raises:
        StoreError: a checkpoint is damaged.
    """
    found = {channel: ChannelHistory() for channel in channels}
    newest_first: dict[str, list[tuple[str, str, Typed]]] = {channel: [] for channel in channels}
    target = find(tx, place, checkpoint_id)
    for ancestor in () if target is None else ancestors(tx, target):
        open_ = [channel for channel in found if found[channel].seed is None]
        if not open_:
            break
        for write in reversed(writes_of(tx, place, ancestor.checkpoint_id, open_)):
            newest_first[write[1]].append(write)
        versions = ancestor.versions
        at = [(channel, versions[channel]) for channel in open_ if channel in versions]
        for (channel, _), value in values_of(tx, place, at).items():
            found[channel].seed = value
    for channel, writes in newest_first.items():
        found[channel].writes = writes[::-1]
    return found
