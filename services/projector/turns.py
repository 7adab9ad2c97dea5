"""Which partitions wait while a projector that is far behind reads others: nobody is read back whose partition is not read."""

from collections.abc import Mapping

FAR = 16_000
AT_ONCE = 2


class Turns:
    """Whose turn it is. While the log holds more than `room` records that are not read, partitions far behind are read a few at a
    time; those that are not, or not any more, are always read: the next ones begin while the last records of the former come in.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._reading: set[int] = set()
        self.waiting: set[int] = set()

    def change(self, lags: Mapping[int, int]) -> tuple[set[int], set[int]]:
        """Who begins to wait, and who waits no longer, by how many records each partition is behind."""
        before, self.waiting = self.waiting, self._far(lags)
        return self.waiting - before, (before - self.waiting) & lags.keys()

    def forget(self) -> None:
        """Partitions have come or gone: nobody waits."""
        self._reading, self.waiting = set(), set()

    def _far(self, lags: Mapping[int, int]) -> set[int]:
        if sum(lags.values()) <= self._room:
            return set()
        self._reading = {number for number in self._reading if lags.get(number, 0) > FAR}
        far = sorted(number for number, lag in lags.items() if lag > FAR and number not in self._reading)
        begun = far[: max(0, AT_ONCE - len(self._reading))]
        self._reading |= set(begun)
        return set(far) - self._reading
