"""A one-shot child watch that is set again when it is asked for."""

from collections.abc import Callable

from .tree import Tree


class ChildWatch:
    """Tells whether the children of a path may have changed since they were last read.

    `notify` is called from another thread; the loop then reads everything again.
    """

    def __init__(self, tree: Tree, path: str, notify: Callable[[], None]) -> None:
        self._tree = tree
        self._path = path
        self._notify = notify
        self._armed = False
        self._fired = True

    @property
    def fired(self) -> bool:
        """Whether there may be something new: also before the first look."""
        return self._fired

    def arm(self) -> None:
        """Watch, before reading: what changes from now on fires. Raises: NoNode, Unavailable."""
        self._fired = False
        if not self._armed:
            self._armed = True
            try:
                self._tree.watch_children(self._path, self._on_change)
            except Exception:
                self._armed, self._fired = False, True
                raise

    def _on_change(self) -> None:
        self._armed = False
        self._fired = True
        self._notify()
