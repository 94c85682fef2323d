"""Spans of time, as instants in seconds, and what is left of a time that they do not cover."""

from bisect import bisect_right
from collections.abc import Iterable
from math import inf

Span = tuple[float, float]


class Spans:
    """Sorted, and apart from each other; made of any spans."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        merged: list[Span] = []
        for begin, end in sorted(span for span in spans if span[1] >= span[0]):
            if merged and begin <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((begin, end))
        self.all = merged
        self._begins = [begin for begin, _ in merged]

    def after(self, instant: float, seconds: float) -> float:
        """When so many seconds have passed since an instant, time within the spans not counted."""
        index = max(0, bisect_right(self._begins, instant) - 1)
        for begin, end in self.all[index:]:
            free = max(0.0, begin - instant)
            if free >= seconds and begin > instant:
                break
            seconds -= free
            instant = max(instant, end)
            if instant == inf:
                break
        return instant + seconds

    def meet(self, begin: float, end: float) -> bool:
        """Whether any of them has an instant in common with this span."""
        index = bisect_right(self._begins, end) - 1
        return index >= 0 and self.all[index][1] >= begin
