import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toolkit.delegates.small_graphs import graph, op, tensor
from toolkit.delegates.partition import Keeping, Node, epochs, largest, nodes_of, partition, tensor_bytes, transitions


def chain(count):
    return [Node(index=i, inputs=(i,), outputs=(i + 1,)) for i in range(count)]


def shape_of(parts):
    return [(p.delegated, p.nodes) for p in parts]


def test_epochs_is_one_partition_when_everything_is_supported():
    assert shape_of(epochs(chain(4), {0, 1, 2, 3})) == [(True, (0, 1, 2, 3))]


def test_epochs_alternates_along_a_chain():
    assert shape_of(epochs(chain(5), {0, 1, 3, 4})) == [(True, (0, 1)), (False, (2,)), (True, (3, 4))]


def test_epochs_reorders_when_a_later_node_is_independent():
    # 0 -> 1 (cpu); 2 depends only on the input: it joins the first delegated epoch although 1 stands before it.
    nodes = [
        Node(index=0, inputs=(0,), outputs=(1,)),
        Node(index=1, inputs=(1,), outputs=(2,)),
        Node(index=2, inputs=(0,), outputs=(3,)),
        Node(index=3, inputs=(2, 3), outputs=(4,)),
    ]
    assert shape_of(epochs(nodes, {0, 2, 3})) == [(True, (0, 2)), (False, (1,)), (True, (3,))]


def test_epochs_first_ready_node_decides_the_side():
    nodes = [
        Node(index=0, inputs=(0,), outputs=(1,)),
        Node(index=1, inputs=(0,), outputs=(2,)),
        Node(index=2, inputs=(1, 2), outputs=(3,)),
    ]
    assert shape_of(epochs(nodes, {1, 2})) == [(False, (0,)), (True, (1, 2))]


def test_largest_keeps_earlier_among_equals():
    parts = epochs(chain(7), {0, 2, 3, 5, 6})
    assert [p.nodes for p in largest(parts, Keeping(most=1))] == [(2, 3)]
    assert len(largest(parts, Keeping())) == 3


def plain(kinds):
    return graph([tensor(i) for i in range(len(kinds) + 1)], [op(i, k, (i,), (i + 1,)) for i, k in enumerate(kinds)])


def test_partition_drops_smaller_partitions_to_the_cpu():
    found = partition(plain(["A"] * 8), {0, 2, 3, 4, 6, 7}, Keeping(most=1), {})
    assert shape_of(found) == [(False, (0, 1)), (True, (2, 3, 4)), (False, (5, 6, 7))]


def float16_graph(last_supported):
    """x -> A -> CONV(w) -> B, with w = DEQUANTIZE(float16 constant) standing before CONV."""
    tensors = [tensor(0), tensor(1), tensor(2, dtype="FLOAT16", data=[1.0]), tensor(3), tensor(4), tensor(5)]
    ops = [op(0, "A", (0,), (1,)), op(1, "DEQUANTIZE", (2,), (3,)), op(2, "CONV", (1, 3), (4,)), op(3, "B", (4,), (5,))]
    return graph(tensors, ops), ({0, 2, 3} if last_supported else {0, 2})


def test_partition_swallows_float16_dequantize_when_everything_is_accepted():
    g, supported = float16_graph(last_supported=True)
    assert shape_of(partition(g, supported, Keeping(most=1), {3: (2, 1)})) == [(True, (0, 1, 2, 3))]


def test_partition_looks_at_unremapped_graph_first_when_something_is_refused():
    # Before the remap A and CONV are separate partitions (the DEQUANTIZE sits between): one kept, N = 1.
    g, supported = float16_graph(last_supported=False)
    assert sum(p.delegated for p in partition(g, supported, Keeping(most=1), {3: (2, 1)})) == 1
    kept = partition(g, supported, Keeping(most=3), {3: (2, 1)})
    assert [p.nodes for p in kept if p.delegated] == [(0, 2)]  # both kept, and remapped they are one


def test_transitions_count_crossing_bytes():
    g = plain(["A", "B", "C"])
    parts = partition(g, {0, 2}, Keeping(), {})
    assert transitions(g, parts) == (2, 2 * 8 * 4 * 4)
    assert tensor_bytes(g, 0) == 128


@st.composite
def random_graphs(draw):
    count = draw(st.integers(1, 14))
    nodes = [
        Node(index=i, inputs=tuple(draw(st.lists(st.integers(0, i), min_size=1, max_size=3))), outputs=(i + 1,))
        for i in range(count)
    ]
    supported = draw(st.sets(st.integers(0, count - 1)))
    return nodes, supported


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_epochs_place_every_node_once_and_never_before_its_inputs(case):
    nodes, supported = case
    parts = epochs(nodes, supported)
    order = [index for part in parts for index in part.nodes]
    assert sorted(order) == [n.index for n in nodes]
    done = {0}
    for index in order:
        assert set(nodes[index].inputs) <= done
        done |= set(nodes[index].outputs)
    for before, after in itertools.pairwise(parts):
        assert before.delegated != after.delegated
    for part in parts:
        assert all((i in supported) == part.delegated for i in part.nodes)


@settings(max_examples=100, deadline=None)
@given(random_graphs(), st.integers(1, 3))
def test_partition_never_keeps_more_than_the_limit(case, limit):
    nodes, supported = case
    g = graph([tensor(i) for i in range(len(nodes) + 1)], [op(n.index, "X", n.inputs, n.outputs) for n in nodes])
    assert nodes_of(g) == tuple(nodes)
    parts = partition(g, supported, Keeping(most=limit), {})
    assert sum(p.delegated for p in parts) <= limit
    assert {i for p in parts if p.delegated for i in p.nodes} <= supported


@pytest.mark.parametrize("limit", [1, 3, None])
def test_partition_of_unsupported_graph_is_all_cpu(limit):
    assert shape_of(partition(plain(["A", "B"]), set(), Keeping(most=limit), {})) == [(False, (0, 1))]
