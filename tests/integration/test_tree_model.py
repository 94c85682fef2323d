"""Whatever is asked of them, the embedded tree and ZooKeeper answer the same."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from testbed.services import ZooKeeper

from cronkeeper.common.coordination.embedded import EmbeddedServer
from cronkeeper.common.coordination.tree import Batch, Check, Create, Delete, Op, SetData, Tree
from cronkeeper.common.coordination.zookeeper import ZooKeeperTree

NAMES = ["/a", "/b", "/a/a", "/a/b", "/b/a", "/a/a/a"]
_paths = st.sampled_from(NAMES)
_data = st.binary(max_size=3)
_versions = st.sampled_from([0, 0, 0, 1, 1, 2])
_ops = st.one_of(
    st.builds(Create, _paths, _data, st.sampled_from([False, False, False, True])),
    st.builds(SetData, _paths, _data, _versions),
    st.builds(Delete, _paths, _versions),
    st.builds(Check, _paths, _versions),
)
_steps = st.lists(st.lists(_ops, min_size=1, max_size=4), max_size=30)
_runs = itertools.count()


@pytest.fixture(scope="module")
def real(zookeeper: ZooKeeper) -> Iterator[Tree]:
    tree = ZooKeeperTree(zookeeper.hosts, "/model")
    yield tree
    tree.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=_steps)
def test_the_embedded_tree_is_zookeepers_twin(real: Tree, steps: list[list[Op]]) -> None:
    server = EmbeddedServer(None)
    folder = f"/run-{next(_runs)}"
    embedded = server.connect()
    for tree in (real, embedded):
        tree.commit([Create(folder)])
    batches = [_below(folder, step) for step in steps]
    outcomes = [[type(error) for error in tree.commit_many(batches)] for tree in (real, embedded)]
    assert outcomes[0] == outcomes[1]
    assert _state(real, folder) == _state(embedded, folder)


def _below(folder: str, ops: Batch) -> list[Op]:
    moved: list[Op] = []
    for op in ops:
        match op:
            case Create(path, data, ephemeral):
                moved.append(Create(folder + path, data, ephemeral))
            case SetData(path, data, version):
                moved.append(SetData(folder + path, data, version))
            case Delete(path, version):
                moved.append(Delete(folder + path, version))
            case Check(path, version):
                moved.append(Check(folder + path, version))
    return moved


def _state(tree: Tree, folder: str) -> list[object]:
    paths = [folder, *(folder + name for name in NAMES)]
    nodes = [node and (node.data, node.version, bool(node.owner)) for node in tree.get_many(paths)]
    return [*nodes, *tree.children_many(paths)]
