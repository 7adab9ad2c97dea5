"""Texts that are said in English and in French."""

import errno
from typing import Self


class Both(str):
    """A text in English that knows itself in French: a key, and a sentence for whoever reads it."""

    __slots__ = ("fr",)
    fr: str

    def __new__(cls, en: str, fr: str) -> Self:
        made = super().__new__(cls, en)
        made.fr = fr
        return made


def spoken(text: str, language: int) -> str:
    """A text in English (0) or French (1), where it is known in French."""
    return text.fr if language and isinstance(text, Both) else str(text)


UNREADABLE = {
    errno.ENOENT: Both("there is no such file or folder", "ce fichier ou ce dossier n'existe pas"),
    errno.EISDIR: Both("is a folder, not a file", "est un dossier, pas un fichier"),
    errno.ENOTDIR: Both("is not a folder", "n'est pas un dossier"),
    errno.EACCES: Both("may not be read or written by you", "vous n'avez pas le droit de le lire ou d'y écrire"),
    errno.EEXIST: Both("is there already", "existe déjà"),
    errno.ENOTEMPTY: Both("is not empty", "n'est pas vide"),
    errno.ENOSPC: Both("the disk is full", "le disque est plein"),
}


def of_system(wrong: OSError, where: object = None) -> Both:
    """What the system has to say of a file, for people; in its own English where we have no words for it."""
    name = wrong.filename2 or wrong.filename if where is None else where
    why = UNREADABLE.get(wrong.errno or 0) or Both(str(wrong.strerror or wrong), str(wrong.strerror or wrong))
    return why if name is None else Both(f"{name}: {why}", f"{name} : {why.fr}")
