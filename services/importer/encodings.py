"""How the text of a file is written: UTF-8, or as French and English programs wrote before it.

Detectors by statistics take a short French export of Windows for Central European or Baltic (charset-normalizer 3.5 did: "problčme").
"""

import codecs
import unicodedata
from collections import Counter

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
BEFORE = ("cp1252", "cp850", "mac_roman")
"""Windows (whose letters are those of Latin-1), DOS and the older Macintosh; where the letters do not tell, the first."""
OFTEN = frozenset("àâæçéèêëîïôœùûüÿ")
SELDOM = frozenset("ÀÂÆÇÉÈÊËÎÏÔŒÙÛÜŸ’‘“”«»–—…€°²·\u00a0")
ASCII = bytes(range(128))
LOST = "\ufffd"


def marked(start: bytes) -> str | None:
    """The encoding a file names in its first bytes."""
    return next((encoding for mark, encoding in MARKS.items() if start.startswith(mark)), None)


class Letters:
    """What the bytes beyond ASCII of a file are, piece after piece: an accent may come late."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._found: Counter[int] = Counter()
        self.good = self.lost = 0

    def see(self, piece: bytes) -> None:
        """The next piece of the file."""
        beyond = piece.translate(None, ASCII)
        self._found.update(beyond)
        text = self._decoder.decode(piece)
        lost = text.count(LOST)
        self.lost += lost
        self.good += len(text) - len(text.encode("ascii", "ignore")) - lost

    def encoding(self) -> str:
        """UTF-8, if most of what is beyond ASCII is; else the one in which most of it is what French and English write."""
        if self.lost <= self.good:
            return "utf-8"
        return max(BEFORE, key=self._readable)

    def _readable(self, encoding: str) -> int:
        read = ((bytes([byte]).decode(encoding, "replace"), n) for byte, n in self._found.items())
        return sum(n * (2 * (letter in OFTEN) + (letter in SELDOM)) for letter, n in read)


def unaccented(text: str) -> str:
    """A text as it is looked for: without accents and capitals."""
    letters = unicodedata.normalize("NFD", text.casefold())
    return "".join(one for one in letters if not unicodedata.combining(one))
