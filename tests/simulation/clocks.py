"""The clocks of one machine: that of the lease is everybody's, and the wall's may be wrong."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from support.fakes import Time


@dataclass
class LocalTime:
    """As `Time`, for one machine."""

    true: Time
    ahead: float = 0.0
    """Seconds, at `since`."""
    gains: float = 0.0
    """Seconds a second."""
    since: float = 0.0

    def __call__(self) -> float:
        return self.true.seconds

    @property
    def seconds(self) -> float:
        return self.true.seconds

    @property
    def off(self) -> float:
        """By how many seconds the wall's clock is ahead."""
        return self.ahead + self.gains * (self.true.seconds - self.since)

    @property
    def now(self) -> datetime:
        return self.true.now + timedelta(seconds=self.off)

    def wall(self) -> float:
        return self.now.timestamp()

    def set(self, ahead: float) -> None:
        """Step the wall's clock."""
        self.ahead, self.since = ahead, self.true.seconds

    def drift(self, gains: float) -> None:
        """From now on it gains so much."""
        self.ahead, self.gains, self.since = self.off, gains, self.true.seconds
