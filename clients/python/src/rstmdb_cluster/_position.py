"""How far a watch has come, and where it resumes."""

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from .errors import ConfigError, ProtocolError


class Position(NamedTuple):
    """Where a watch goes on, in this program or in a later one.

    Events of one atomic batch share an offset, and their order is the same on every node, so ``delivered`` says how
    many events at ``from_offset`` were delivered already; they are skipped. That holds for a watch with the same
    filters.
    """

    #: The offset to go on at, inclusive.
    from_offset: int
    #: The cluster that the offset belongs to; another cluster refuses it with OFFSET_AHEAD.
    cluster_id: Optional[str] = None
    #: How many events at ``from_offset`` were delivered.
    delivered: int = 0

    def to_json(self) -> str:
        """Text to keep in a file, a database, or the context of an instance."""
        return json.dumps(self._asdict())

    @staticmethod
    def from_json(text: str) -> "Position":
        """Reads what ``to_json`` wrote."""
        try:
            fields = json.loads(text)
            made = Position(fields["from_offset"], fields.get("cluster_id"), fields.get("delivered", 0))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{text!r:.200} is not the position of a watch") from None
        for name, value in (("from_offset", made.from_offset), ("delivered", made.delivered)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(f"{name}: {value!r} is not an integer from 0 on, in the position of a watch")
        if made.cluster_id is not None and not isinstance(made.cluster_id, str):
            raise ConfigError(f"cluster_id: {made.cluster_id!r} is not a text, in the position of a watch")
        return made


class PositionFile:
    """Keeps the position of a watch in a file. After a crash the file has the position before, or the new one."""

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        self.path = os.fspath(path)

    def load(self) -> Optional[Position]:
        """The position; None if none was saved yet."""
        try:
            with open(self.path, encoding="utf-8") as file:
                return Position.from_json(file.read())
        except FileNotFoundError:
            return None

    def save(self, position: Position) -> None:
        """Replaces the file as a whole."""
        new = f"{self.path}.new"
        with open(new, "w", encoding="utf-8") as file:
            file.write(position.to_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)


class Progress(NamedTuple):
    """No event matched lately. The server has compared everything up to this offset, inclusive, with the filter."""

    wal_offset: int


class Tracker:
    """Counts what a watch has delivered."""

    def __init__(self, offset: int, delivered: int) -> None:
        #: Where to resume from, inclusive.
        self.offset = offset
        #: How many events at that offset have been delivered.
        self.delivered = delivered
        # How many of those the current connection will bring again.
        self._repeats = delivered

    @staticmethod
    def begin(given: Optional[Position], begun: Mapping[str, Any]) -> "Tracker":
        """For a watch that has just begun: where it was asked to, or after the head."""
        earliest = _offset(begun, "earliest_offset", 0)
        if given is None:
            head = _offset(begun, "wal_offset", _offset(begun, "current_wal_offset", 0))
            # The instance may not have changed since before the retained history. Then no event of it is missing.
            return Tracker(max(head + 1, earliest), 0)
        if given.from_offset == 0:
            # "The earliest" must stay the same offset, even if retention drops entries before the watch resumes.
            return Tracker(earliest, 0)
        return Tracker(given.from_offset, given.delivered)

    def resume(self) -> None:
        """The connection is a new one and starts at ``offset`` again."""
        self._repeats = self.delivered

    def advance(self, offset: int) -> bool:
        """Whether the event at this offset is new."""
        if offset < self.offset:
            raise ProtocolError(f"the server sent an event at offset {offset} after one at {self.offset}")
        if offset > self.offset:
            self.offset, self.delivered, self._repeats = offset, 1, 0
            return True
        if self._repeats > 0:
            self._repeats -= 1
            return False
        self.delivered += 1
        return True

    def looked_at(self, offset: int) -> None:
        """The server has compared everything up to this offset with the filter, and has sent what matched."""
        if offset >= self.offset:
            self.offset, self.delivered, self._repeats = offset + 1, 0, 0

    def covers(self, offset: int) -> bool:
        """Whether a change at this offset has been delivered, or is before the requested start."""
        return offset < self.offset or (offset == self.offset and self.delivered > 0)


def _offset(begun: Mapping[str, Any], name: str, default: int) -> int:
    value = begun.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default
