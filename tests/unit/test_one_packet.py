"""What is written at one go leaves in one call; what is much, or the last of a connection, at once. services/http_guard."""

import asyncio
from typing import Any, cast

from services.http_guard import MOST_GATHERED, OnePacket


class Wire:
    """What a transport was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.is_gone = False

    def writelines(self, some: list[bytes]) -> None:
        self.told.append(b"".join(some))

    def close(self) -> None:
        self.told.append("closed")

    def is_closing(self) -> bool:
        return self.is_gone


def on(wire: Wire) -> OnePacket:
    return OnePacket(cast("asyncio.Transport", wire), asyncio.get_running_loop())


async def test_what_is_written_at_one_go_is_one_packet() -> None:
    one = on(wire := Wire())
    for some in (b"head", b"body"):
        one.write(some)
    assert wire.told == []
    await asyncio.sleep(0)
    one.write(b"next")
    await asyncio.sleep(0)
    assert wire.told == [b"headbody", b"next"]


async def test_much_is_passed_on_at_once_and_so_is_the_last() -> None:
    one = on(wire := Wire())
    one.write(much := bytes(MOST_GATHERED + 1))
    assert wire.told == [much]
    one.write(b"last")
    one.close()
    await asyncio.sleep(0)
    assert wire.told == [much, b"last", "closed"]


async def test_who_has_gone_is_told_nothing() -> None:
    one = on(wire := Wire())
    one.write(b"answer")
    wire.is_gone = True
    await asyncio.sleep(0)
    assert wire.told == []
