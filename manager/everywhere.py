"""What the leader's picture has of jobs that are on every node that will do, and which copies are nowhere yet."""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from cronkeeper.common.model import ONLY, Job
from cronkeeper.manager.placement import JobKey, Labels, Wants, wants


@dataclass(slots=True)
class Everywhere:
    """A copy demands its own node, and of that the labels that its job requires."""

    jobs: dict[int, Labels] = field(default_factory=dict)
    """What they require, by the ids; without those that have ended."""
    numbers: Mapping[str, int] = field(default_factory=dict)
    """What the copies of each node go by."""
    due: dict[JobKey, str] = field(default_factory=dict)
    """Copies that are nowhere, and the node of each, in the order to look at them."""
    looks: dict[int, Job] = field(default_factory=dict)
    """Jobs whose copies may know another rev, or are to end."""
    news: bool = False
    """Whether there may be copies whose node was forgotten."""
    _names: dict[int, str] = field(default_factory=dict)
    _there: defaultdict[int, set[JobKey]] = field(default_factory=lambda: defaultdict(set))

    def know_numbers(self, numbers: Mapping[str, int]) -> set[str]:
        """Take note of them; returns the nodes whose own is another one, or gone."""
        others = {name for name, _ in self.numbers.items() ^ numbers.items()}
        if others:
            self.numbers, self._names = dict(numbers), {number: name for name, number in numbers.items()}
            self.news = True
        return others

    def know(self, job: Job) -> None:
        """Take note of what is asked for."""
        if job.rev > job.published_rev:
            self.looks[job.id] = job
        if job.ended_at is None:
            self.jobs[job.id] = job.requires
        else:
            self.jobs.pop(job.id, None)

    def demand(self, key: JobKey) -> Wants:
        """What a copy demands; one whose node was forgotten can be nowhere."""
        return wants(self._names.get(key[1], ""), self.jobs.get(key[0], {}))

    def is_orphan(self, key: JobKey) -> bool:
        """Whether it is a copy whose node was forgotten."""
        return key[1] != ONLY and key[1] not in self._names

    def orphans(self) -> list[JobKey]:
        """All of them that lie anywhere."""
        return sorted(key for keys in self._there.values() for key in keys if self.is_orphan(key))

    def look(self, node: str, labels: Labels, placed: Container[JobKey]) -> None:
        """See which copies this node is to have that are nowhere: it is live, and may have jobs."""
        number = self.numbers.get(node)
        if number is None:
            return
        for job_id, required in self.jobs.items():
            key = (job_id, number)
            if key not in placed and all(labels.get(name) == value for name, value in required.items()):
                self.due[key] = node

    def there(self, job_id: int) -> Iterable[JobKey]:
        """The copies of a job that lie anywhere, also those that are parked."""
        return sorted(self._there.get(job_id, ()))

    def put(self, key: JobKey) -> None:
        """It lies somewhere now."""
        if key[1] != ONLY:
            self._there[key[0]].add(key)
            self.news |= self.is_orphan(key)
            self.due.pop(key, None)

    def took_away(self, key: JobKey) -> None:
        """It lies nowhere now."""
        if key[1] != ONLY:
            self._there[key[0]].discard(key)
