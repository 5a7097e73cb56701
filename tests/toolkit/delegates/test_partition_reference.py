"""Partitioning of random graphs against a reference that shares no code or idea with it, and against TFLite itself.

The reference does not walk the plan: it states what an epoch is (everything unplaced of one side whose unplaced
ancestors are all of that side) and which sets are kept (the combination with the most operators).
"""

import itertools

import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.errors import InputError
from converters.tflite_graph.flatbuffer import add_buffer, dump
from converters.tflite_graph.read import read_tflite
from tests.toolkit.delegates.small_graphs import graph, op, tensor
from tests.toolkit.delegates.written_files import write
from toolkit.delegates import partition as subject
from toolkit.delegates.partition import Epoch, Keeping, Node, epochs, largest, nodes_of, partition


def ancestors(nodes):
    """Every node's ancestors, by brute force over all paths."""
    producers = {n.index: {m.index for m in nodes if set(m.outputs) & set(n.inputs)} for n in nodes}
    chain = [n.index for n in nodes if n.side_effect]
    for before, after in itertools.pairwise(chain):
        producers[after].add(before)
    for middle in nodes:
        for n in nodes:
            if middle.index in producers[n.index]:
                producers[n.index] |= producers[middle.index]
    return producers


def reference_epochs(nodes, supported):
    above = ancestors(nodes)
    unplaced = [n.index for n in nodes]
    found = []
    while unplaced:
        first = next(i for i in unplaced if not above[i] & set(unplaced))
        side = first in supported
        same = {i for i in unplaced if (i in supported) is side}
        members = {i for i in same if above[i] & set(unplaced) <= same}
        found.append((side, members))
        unplaced = [i for i in unplaced if i not in members]
    return found


def reference_kept(parts, most, fewest):
    """The first (in file order) of all combinations of at most ``most`` sets that hold the most operators.

    A graph that is accepted whole is kept whole, however few operators it has.
    """
    if all(side for side, _ in parts):
        return set().union(*(members for _, members in parts))
    sets = [members for side, members in parts if side and len(members) >= fewest]
    combinations = itertools.combinations(sets, min(most, len(sets)))
    return set().union(*max(combinations, key=lambda chosen: sum(map(len, chosen))))


def as_sets(parts):
    return [(part.delegated, set(part.nodes)) for part in parts]


@st.composite
def random_dags(draw, most=14):
    """Nodes in execution order, with one or two outputs and up to four inputs from anywhere before."""
    nodes, made = [], [0]
    for index in range(draw(st.integers(1, most))):
        inputs = draw(st.lists(st.sampled_from(made), min_size=1, max_size=4))
        outputs = tuple(len(made) + extra for extra in range(draw(st.integers(1, 2))))
        made.extend(outputs)
        side_effect = draw(st.integers(0, 5)) == 0
        nodes.append(Node(index=index, inputs=tuple(inputs), outputs=outputs, side_effect=side_effect))
    return nodes, draw(st.sets(st.integers(0, len(nodes) - 1)))


@settings(max_examples=400, deadline=None)
@given(random_dags())
def test_epochs_equal_the_reference(case):
    nodes, supported = case
    found = epochs(nodes, supported)
    assert as_sets(found) == reference_epochs(nodes, supported)
    assert all(list(part.nodes) == sorted(part.nodes) for part in found)


@settings(max_examples=300, deadline=None)
@given(random_dags(), st.sampled_from([(3, 1), (1, 1), (99, 2)]), st.booleans())
def test_partition_equals_the_reference_for_nnapi_gpu_and_core_ml(case, limits, after_folding):
    nodes, supported = case
    most, fewest = limits
    highest = max(t for n in nodes for t in n.outputs)
    ops = [op(n.index, "IF" if n.side_effect else "X", n.inputs, n.outputs) for n in nodes]
    g = graph([tensor(i) for i in range(highest + 1)], ops)
    assert nodes_of(g) == tuple(nodes)
    kept = reference_kept(reference_epochs(nodes, supported), most, fewest)
    keeping = Keeping(most=most, fewest_nodes=fewest, counts_after_folding=after_folding)
    assert as_sets(partition(g, supported, keeping, {})) == reference_epochs(nodes, kept)


def test_the_reference_notices_a_wrong_partition(monkeypatch):
    """Twin: a partitioner that never reorders, or keeps the first sets instead of the largest, is caught."""

    def in_order(nodes, supported):
        runs = itertools.groupby(nodes, key=lambda n: n.index in supported)
        return tuple(Epoch(delegated=side, nodes=tuple(n.index for n in run)) for side, run in runs)

    nodes = [
        Node(index=0, inputs=(0,), outputs=(1,)),
        Node(index=1, inputs=(1,), outputs=(2,)),
        Node(index=2, inputs=(0,), outputs=(3,)),
    ]
    assert as_sets(epochs(nodes, {0, 2})) == reference_epochs(nodes, {0, 2}) != as_sets(in_order(nodes, {0, 2}))
    chain = [Node(index=i, inputs=(i,), outputs=(i + 1,)) for i in range(4)]
    g = graph([tensor(i) for i in range(5)], [op(i, "X", (i,), (i + 1,)) for i in range(4)])
    expected = reference_epochs(chain, reference_kept(reference_epochs(chain, {0, 2, 3}), 1, 1))
    assert as_sets(partition(g, {0, 2, 3}, Keeping(most=1), {})) == expected
    monkeypatch.setattr(subject, "largest", lambda parts, keeping: [p for p in parts if p.delegated][: keeping.most])
    assert as_sets(partition(g, {0, 2, 3}, Keeping(most=1), {})) != expected


def test_operators_with_side_effects_keep_their_order():
    # 0 (resource, CPU) -> 1 (CPU) -> 2 (delegate); 3 (resource, delegate) reads the input only, but waits for 0.
    nodes = [
        Node(index=0, inputs=(0,), outputs=(1,), side_effect=True),
        Node(index=1, inputs=(1,), outputs=(2,)),
        Node(index=2, inputs=(2,), outputs=(3,)),
        Node(index=3, inputs=(0,), outputs=(4,), side_effect=True),
    ]
    found = as_sets(epochs(nodes, {2, 3}))
    assert found == [(False, {0, 1}), (True, {2, 3})] == reference_epochs(nodes, {2, 3})
    free = [Node(index=n.index, inputs=n.inputs, outputs=n.outputs) for n in nodes]
    assert as_sets(epochs(free[3:] + free[:3], {2, 3}))[0] == (True, {3})  # twin: without the side effect it need not


def test_side_effects_are_read_from_resources_and_control_flow():
    tensors = [tensor(0), tensor(1, dtype="RESOURCE"), tensor(2), tensor(3)]
    ops = [op(0, "VAR_HANDLE", (), (1,)), op(1, "READ_VARIABLE", (1,), (2,)), op(2, "WHILE", (0,), (3,))]
    assert [n.side_effect for n in nodes_of(graph(tensors, [*ops, op(3, "ABS", (0,), (2,))]))] == [True] * 3 + [False]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_operators_in_a_circle_are_an_error(size):
    nodes = [Node(index=i, inputs=((i - 1) % size,), outputs=(i,)) for i in range(size)]
    with pytest.raises(InputError, match="circle"):
        epochs(nodes, set())


def test_largest_leaves_small_sets_alone():
    parts = [Epoch(delegated=True, nodes=(0,)), Epoch(delegated=True, nodes=(1, 2)), Epoch(delegated=False, nodes=(3,))]
    assert [p.nodes for p in largest(parts, Keeping(fewest_nodes=2))] == [(1, 2)]
    assert [p.nodes for p in largest(parts, Keeping())] == [(1, 2), (0,)]


def test_sets_are_counted_before_or_after_float16_constants_are_folded():
    """A (op 0), a constant's DEQUANTIZE (1), CONV (2) that reads it, B refused (3), D (4): N = 1.

    Before folding A and CONV are two sets of one; after folding they are one of two.
    """
    tensors = [tensor(0), tensor(1), tensor(2, dtype="FLOAT16", data=[1.0]), *map(tensor, range(3, 7))]
    ops = [
        op(0, "A", (0,), (1,)),
        op(1, "DEQUANTIZE", (2,), (3,)),
        op(2, "CONV", (1, 3), (4,)),
        op(3, "B", (4,), (5,)),
        op(4, "D", (5,), (6,)),
    ]
    g = graph(tensors, ops)

    def kept(keeping):
        return [p.nodes for p in partition(g, {0, 2, 4}, keeping, {3: (2, 1)}) if p.delegated]

    assert kept(Keeping(most=1, counts_after_folding=True)) == [(0, 2)]
    assert kept(Keeping(most=1)) == [(0,)]


def delegated_outputs(model):
    """What TFLite itself hands over: the output tensors of every node set its XNNPACK delegate takes."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    return sorted(sorted(d["outputs"]) for d in interpreter._get_ops_details() if d["op_name"] == "DELEGATE")


def seen_outside(nodes, members, outputs):
    """Tensors of a node set that others read or the graph gives back."""
    made = {t for n in nodes if n.index in members for t in n.outputs}
    read = {t for n in nodes if n.index not in members for t in n.inputs}
    return sorted(made & (read | set(outputs)))


def with_control_edges(model, edges):
    """The file with control dependencies in its metadata."""
    found = schema.ModelT.InitFromPackedBuf(bytearray(model), 0)
    numbers = [1, 1, len(edges), *(2 * index for edge in edges for index in edge)]
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"model_control_dependencies", add_buffer(found, bytes(numbers))
    found.metadata = [entry]
    return dump(found)


@st.composite
def orders(draw, count):
    """Control dependencies between operators, earlier before later."""
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] < pair[1])
    return sorted(draw(st.sets(pairs, max_size=4))) if count > 1 else []


@settings(max_examples=80, deadline=None)
@given(random_dags(most=10).flatmap(lambda case: st.tuples(st.just(case), st.none() | orders(len(case[0])))))
def test_node_sets_are_those_tflite_makes(case):
    """Real files whose delegated operators are MAXIMUM and whose others are POW (XNNPACK has none), in TFLite."""
    (shape, supported), edges = case
    nodes = [Node(index=n.index, inputs=(n.inputs[0] // 2, n.inputs[-1] // 2), outputs=(n.index + 1,)) for n in shape]
    nodes = [Node(index=n.index, inputs=tuple(min(t, n.index) for t in n.inputs), outputs=n.outputs) for n in nodes]
    read = {t for n in nodes for t in n.inputs}
    outputs = tuple(n.outputs[0] for n in nodes if n.outputs[0] not in read)
    tensors = [tensor(i, (1, 2, 2, 1)) for i in range(len(nodes) + 1)]
    ops = [op(n.index, "MAXIMUM" if n.index in supported else "POW", n.inputs, n.outputs) for n in nodes]
    model = write(
        graph(tensors, ops, outputs=outputs), options={"MAXIMUM": "MaximumMinimumOptions", "POW": "PowOptions"}
    )
    model = model if edges is None else with_control_edges(model, edges)
    assert read_tflite(model).control_edges == (None if edges is None else tuple(edges))
    found = epochs(nodes, supported, edges)
    assert found == partition(read_tflite(model), supported, Keeping(), {})
    expected = [seen_outside(nodes, set(p.nodes), outputs) for p in found if p.delegated]
    assert delegated_outputs(model) == sorted(expected)


def test_control_dependencies_replace_the_order_of_side_effects():
    nodes = [Node(index=i, inputs=(0,), outputs=(1 + i,), side_effect=True) for i in range(3)]
    assert as_sets(epochs(nodes, {0, 2})) == [(True, {0}), (False, {1}), (True, {2})]
    assert as_sets(epochs(nodes, {0, 2}, edges=[])) == [(True, {0, 2}), (False, {1})]
    assert as_sets(epochs(nodes, {0, 2}, edges=[(1, 0)])) == [(False, {1}), (True, {0, 2})]
    with pytest.raises(InputError, match="circle"):
        epochs(nodes, {0, 2}, edges=[(1, 0), (0, 1)])


@pytest.mark.parametrize(
    "entry", [b"", b"\x02\x01\x00", b"\x01\x05", b"\x01\x01\x01\x00", b"\x01\x01\x80", b"\x01\x01\x00\x00"]
)
def test_control_dependencies_that_litert_ignores_are_ignored(entry):
    model = schema.ModelT.InitFromPackedBuf(bytearray(write(plain_graph())), 0)
    made = schema.MetadataT()
    made.name, made.buffer = b"model_control_dependencies", add_buffer(model, entry)
    model.metadata = [made]
    assert read_tflite(dump(model)).control_edges is None


def test_control_dependencies_on_missing_operators_are_damage():
    with pytest.raises(InputError, match="control dependency names an operator 7"):
        read_tflite(with_control_edges(write(plain_graph()), [(0, 7)]))


def plain_graph():
    return graph([tensor(0), tensor(1)], [op(0, "TANH", (0,), (1,))])


def test_tflite_reorders_the_hand_worked_graph():
    """0 (delegate) -> 1 (CPU); 2 (delegate) reads the input and joins 0 although 1 stands before it; 3 reads both."""
    tensors = [tensor(i, (1, 2, 2, 1)) for i in range(5)]
    ops = [
        op(0, "MAXIMUM", (0, 0), (1,)),
        op(1, "POW", (1, 1), (2,)),
        op(2, "MAXIMUM", (0, 0), (3,)),
        op(3, "MAXIMUM", (2, 3), (4,)),
    ]
    model = write(graph(tensors, ops), options={"MAXIMUM": "MaximumMinimumOptions", "POW": "PowOptions"})
    assert delegated_outputs(model) == [[1, 3], [4]]
