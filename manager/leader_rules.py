"""What a leader goes by."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeaderRules:
    """What a leader goes by, in seconds."""

    run_lease: float
    renew_every: float
    first_grace: float
    """How long a new leader gives a node that it has not seen yet, before it takes the node for dead."""
