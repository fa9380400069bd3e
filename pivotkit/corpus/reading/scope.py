"""What "together" means: in one document, within a window of tokens, or in one training instance."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pivotkit.arguments import refuse


@dataclass(frozen=True)
class Scope:
    """``document``, ``window:n`` or ``instance:n``.

    Attributes
    ----------
    kind : {"document", "window", "instance"}
        "document": a document contains a pair when it contains both words. "window": a document contains a pair when n
        consecutive tokens of it contain a whole occurrence of each word. "instance": instances take the place of
        documents. An instance is a stretch of n tokens that training reads; it begins at a multiple of n in its file
        and may cut documents. Tokens after a file's last whole instance are not trained on and not counted.
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
        """Parse ``scope``; a ValueError names ``function``."""
        match = re.fullmatch(r"document|(window|instance):([1-9][0-9]{0,8})", scope) if isinstance(scope, str) else None
        if match is None:
            refuse(function, "scope", "be 'document', 'window:<tokens>' or 'instance:<tokens>'", scope)
        return cls(match[1] or "document", int(match[2] or 0))

    def __str__(self) -> str:
        return f"{self.kind}:{self.tokens}" if self.tokens else self.kind


DOCUMENT = Scope("document")
