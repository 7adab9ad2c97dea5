"""Which partitions wait while a projector that is far behind reads another: what is read of one is folded person by person."""

from collections.abc import Mapping

FAR = 16_000
AT_ONCE = 1


class Turns:
    """Whose turn it is. Once the log holds more than `room` records that are not read, partitions far behind are read one at a
    time until none is; those that are not, or not any more, are always read: the next one begins while the last records of the former
    come in.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self.reading: set[int] = set()
        self.waiting: set[int] = set()

    def change(self, lags: Mapping[int, int]) -> tuple[set[int], set[int]]:
        """Who begins to wait, and who waits no longer, by how many records each partition is behind."""
        before, self.waiting = self.waiting, self._far(lags)
        return self.waiting - before, (before - self.waiting) & lags.keys()

    def forget(self) -> None:
        """Partitions have come or gone: nobody waits."""
        self.reading, self.waiting = set(), set()

    def _far(self, lags: Mapping[int, int]) -> set[int]:
        if not self.reading and not self.waiting and sum(lags.values()) <= self._room:
            return set()
        self.reading = {number for number in self.reading if lags.get(number, 0) > FAR}
        far = sorted(number for number, lag in lags.items() if lag > FAR and number not in self.reading)
        begun = far[: max(0, AT_ONCE - len(self.reading))]
        self.reading |= set(begun)
        return set(far) - self.reading
