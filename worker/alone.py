"""The claims of jobs that go on while the node is cut off: until the tree has them again they lie on its own disk.

A file for each job, whatever the generation: it is made when the lease is over, written for good before anything
is started by it, and goes when the tree has been told. The rounds by it are in `isolated`.
"""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from cronkeeper.common.clock import same_boot
from cronkeeper.common.model import Claim, ClaimName, Spec, decode, encode, replace
from cronkeeper.common.pauses import Pause
from cronkeeper.worker.assignment import Fate, Held, JobKey, Write
from cronkeeper.worker.clocks import Measured

log = logging.getLogger(__name__)

RETIRED = ".left"
"""Behind the name of a file by which nothing more is started, until the tree has been told."""
NODE = "node"
"""The file that counts for all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """One job's. `spec` and `name` are what the node knew of it when it was cut off, in that boot."""

    boot_id: str
    name: str
    spec: Spec
    newest: int
    """As in `Held`."""
    count: int
    """How often the claim was written here."""
    known: tuple[str, ...]
    """The runs that the tree may list, and that were listed here at the beginning."""
    watermark: datetime | None
    """That of the claim which is certain to be in the tree."""
    claim: Claim

    @property
    def key(self) -> JobKey:
        """Which job it is."""
        return self.spec.job_id, self.spec.copy


@dataclass(frozen=True, slots=True, kw_only=True)
class OfNode:
    """What the node knew of itself, in that boot, and a daemon that can't ask the tree has to know."""

    boot_id: str
    pause: Pause | None
    clock: Measured | None


class Alone:
    """Those of one node. `records` is what the files say, and `node` what they say of it; None: nothing."""

    def __init__(self, folder: Path, boot_id: str) -> None:
        self._folder = folder
        self._boot_id = boot_id
        self.records: dict[JobKey, Local] = {}
        self._full = False
        self._retired: set[JobKey] = set()
        """Those that nothing more is started by; their files have another name."""
        self._stuck: set[JobKey | None] = set()
        """Those whose files can't be deleted; None: the folder."""
        self._load()
        self.node = self._load_node()

    def keep(self, pause: Pause | None, clock: Measured | None) -> bool:
        """Write down what is known of the node; False where that can't be: then nothing of before counts either.

        Not for good, as claims are: after a reboot nothing goes on by it.
        """
        node = OfNode(boot_id=self._boot_id, pause=pause, clock=clock)
        if node != self.node:
            path = self._folder / NODE
            self.node = node if self._write(path, node, durable=False) else None
            if self.node is None:
                with suppress(OSError):
                    path.unlink()
        return self.node is not None

    def begin(self, held: Held) -> bool:
        """Have a claim of the tree go on here; False where that can't be written down.

        What may have landed in the tree counts as claimed. Where the tree is away again before it was told, what
        was written here before goes on, with what was heard of the job meanwhile.
        """
        before = self.records.get(held.key) if held.owed else None
        claim = held.claim if held.sent is None else held.sent.claim
        listed = {run.run_id for run in (*held.claim.unfinished, *claim.unfinished)}
        local = Local(
            boot_id=self._boot_id,
            name=str(held.name),
            spec=held.spec,
            newest=held.newest,
            count=int(held.sent is not None) if before is None else before.count + 1,
            known=tuple(sorted(listed if before is None else listed.union(before.known))),
            watermark=held.claim.watermark if before is None else before.watermark,
            claim=claim,
        )
        if not self._put(local, durable=local.count > 0):
            return False
        held.claim, held.alone, held.owed = claim, local.count, False
        return True

    def adopted(self) -> Iterable[Held]:
        """The claims as the files have them, for a daemon that was started again and can't ask the tree.

        Not after a reboot: this may be a copy of the machine then, and the other one goes on.
        """
        for local in self.records.values():
            if same_boot(local.boot_id, self._boot_id) and local.key not in self._retired:
                yield self.held(local)

    def held(self, local: Local) -> Held:
        """The claim as its file has it."""
        held = Held(ClaimName.parse(local.name), local.spec, local.claim, None)
        held.newest, held.alone = local.newest, local.count
        return held

    def write(self, writes: Sequence[Write]) -> list[Fate]:
        """`Assignment.write`, onto the disk; refused where there is no room."""
        fates = []
        for write in writes:
            held = write.held
            local = self.records[held.key]
            after = replace(local, claim=write.claim, count=local.count + 1)
            if self._put(after, durable=True):
                held.claim, held.alone = write.claim, after.count
                fates.append(Fate.LANDED)
            else:
                fates.append(Fate.REFUSED)
        return fates

    def retire(self, key: JobKey) -> None:
        """Start nothing more by it, whichever daemon: the right to is about to be given back. Raises: OSError."""
        if key in self.records and key not in self._retired:
            self._path(key).replace(self._path(key, retired=True))
            self._sync_folder()
            self._retired.add(key)

    def drop(self, keys: Iterable[JobKey]) -> None:
        """The tree has been told, or the jobs are this node's no more. For good: an old file must not come back.

        Of those that the disk does not let go there is a record still.
        """
        gone = [key for key in keys if key in self.records and self._tried(key, partial(self._unlink, key))]
        if gone and not self._tried(None, self._sync_folder):
            return
        for key in gone:
            del self.records[key]
            self._retired.discard(key)
        if not self.records and self.node is not None:
            self._tried(None, partial((self._folder / NODE).unlink, missing_ok=True))
            self.node = None

    def _unlink(self, key: JobKey) -> None:
        self._path(key).unlink(missing_ok=True)
        self._path(key, retired=True).unlink(missing_ok=True)

    def _tried(self, key: JobKey | None, act: Callable[[], None]) -> bool:
        """Whether that went well; told once of each job, and of all."""
        try:
            act()
        except OSError as error:
            if key not in self._stuck:
                log.error("what was written while the node was cut off can't be deleted: %s", error)
            self._stuck.add(key)
            return False
        self._stuck.discard(key)
        return True

    def _load(self) -> None:
        """Read what an earlier daemon left. A file that was not written to its end tells of nothing that began."""
        for path in sorted(self._folder.glob("[0-9]*"), key=lambda path: path.suffix != RETIRED):
            try:
                local = decode(path.read_bytes(), Local)
            except (OSError, ValueError) as error:
                log.warning("%s is passed over: %s", path, error)
                continue
            self.records[local.key] = local
            if path.suffix == RETIRED:
                self._retired.add(local.key)
            else:
                self._retired.discard(local.key)

    def _load_node(self) -> OfNode | None:
        path = self._folder / NODE
        try:
            node = decode(path.read_bytes(), OfNode)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("%s is passed over: %s", path, error)
            return None
        return node if same_boot(node.boot_id, self._boot_id) else None

    def _put(self, local: Local, *, durable: bool) -> bool:
        if not self._write(self._path(local.key), local, durable=durable):
            return False
        self.records[local.key] = local
        self._retired.discard(local.key)
        return True

    def _write(self, path: Path, value: Local | OfNode, *, durable: bool) -> bool:
        new = path.with_name(f".{path.name}.new")
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with new.open("wb") as file:
                file.write(encode(value))
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            new.replace(path)
            path.with_name(path.name + RETIRED).unlink(missing_ok=True)
            if durable:
                self._sync_folder()
        except OSError as error:
            if not self._full:
                log.error(
                    "jobs can't go on while the node is cut off, for nothing can be written down: %s", error
                )
            self._full = True
            return False
        self._full = False
        return True

    def _path(self, key: JobKey, *, retired: bool = False) -> Path:
        return self._folder / f"{key[0]}.{key[1]}{RETIRED if retired else ''}"

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
