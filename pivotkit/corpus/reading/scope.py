"""What "together" means: in one document, within a window of tokens, or in one training instance."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Scope:
    """``document``, ``window:n`` or ``instance:n``.

    Attributes
    ----------
    kind : {"document", "window", "instance"}
        With "document" a document holds a pair when it holds both words. With "window" it does when some n consecutive
        tokens of it hold an occurrence of each word, whole. With "instance" the stretches of n tokens that training
        reads, each from a multiple of n of its file on and whatever documents they cut, take the documents' place; the
        tokens after a file's last whole instance are not trained on and not counted.
    tokens : int
        n; 0 for "document".

    Examples
    --------
    >>> Scope.parse("window:100", "count")
    Scope(kind='window', tokens=100)
    """

    kind: str
    tokens: int = 0

    @classmethod
    def parse(cls, scope: str, function: str) -> Scope:
        """The scope that ``scope`` says; ValueError in the name of ``function`` otherwise."""
        match = re.fullmatch(r"document|(window|instance):([1-9][0-9]{0,8})", scope) if isinstance(scope, str) else None
        if match is None:
            raise ValueError(
                f"{function}: scope must be 'document', 'window:<tokens>' or 'instance:<tokens>'; got {scope!r}"
            )
        return cls(match[1] or "document", int(match[2] or 0))

    def __str__(self) -> str:
        return f"{self.kind}:{self.tokens}" if self.tokens else self.kind
