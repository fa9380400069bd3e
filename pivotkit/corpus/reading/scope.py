"""What "together" means: in one document, line or sentence, within a window, or in one training instance."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pivotkit.arguments import refuse

PIECES = ("line", "sentence")
RULE = "be 'document', 'line', 'sentence', 'window:<tokens>' or 'instance:<tokens>'"


@dataclass(frozen=True)
class Scope:
    """``document``, ``line``, ``sentence``, ``window:n`` or ``instance:n``.

    Attributes
    ----------
    kind : {"document", "line", "sentence", "window", "instance"}
        "document": a document contains a pair when it contains both words.

        "line", "sentence": lines or sentences take the place of documents: all counts are of them. They begin at a
        character that is not white space, so that empty lines are none. ``csrc/unicode/text_pieces.h`` has the rule.
        Those of tokens are those of the text that the tokens write.

        "window": a document contains a pair when n consecutive tokens of it contain a whole occurrence of each word,
        and a token counts in a word's context row when n consecutive tokens contain it and a whole occurrence. Windows
        overlap: one begins at each token. However many of its windows hold the two, a document counts once, so all
        counts are of documents. For text without tokens, n is in characters.

        "instance": instances take the place of documents. An instance is a stretch of n tokens that training reads; it
        begins at a multiple of n in its file and may cut documents. Tokens after a file's last whole instance are not
        trained on and not counted.
    tokens : int
        n; 0 for the others.

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
        form = r"document|line|sentence|(window|instance):([1-9][0-9]{0,8})"
        match = re.fullmatch(form, scope) if isinstance(scope, str) else None
        if match is None:
            refuse(function, "scope", RULE, scope)
        return cls(match[1] or match[0], int(match[2] or 0))

    def __str__(self) -> str:
        return f"{self.kind}:{self.tokens}" if self.tokens else self.kind


DOCUMENT = Scope("document")
