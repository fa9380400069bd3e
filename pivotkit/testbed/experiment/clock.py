"""Seconds of the processor that the parts of a unit take."""

from __future__ import annotations

import time


class Clock:
    """Adds the time since the last lap to the part that it was spent on."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, part: str) -> None:
        now = time.process_time()
        self.laps[part] = round(self.laps.get(part, 0.0) + now - self._last, 2)
        self._last = now
