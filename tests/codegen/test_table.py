"""Look-up tables: one ONNX graph, the same numbers in float, integers, C and machine code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from codegen.__main__ import main
from codegen.boards import load_board
from codegen.core_engines import has_engine
from codegen.cores import CORES
from codegen.cosim import cosimulate
from codegen.cross import find_cross_compilers
from codegen.firmware import load_firmware, make_firmware
from codegen.fixed import INT16_MAX
from codegen.float_predictor import FloatPredictor
from codegen.host import HostLibrary
from codegen.metadata import attach_metadata, metadata_from_dict
from codegen.onnx_import import load_network
from codegen.profiles import PROFILES
from codegen.qmodel import QuantizedModel
from codegen.qtable import QuantizedTable
from codegen.reference import ReferencePredictor
from codegen.size import measure
from codegen.table import FloatTable, build_table
from codegen.verify import verify_random, verify_sanitized
from sim.errors import UserError
from sim.noise import load_preset

BOARD = load_board("generic")
SCALE_S = 5.6e-4  # of the inputs in METADATA
Write = Callable[..., Path]


def random_table(starts: int = 16, changes: int = 16, seed: int = 0, spread: float = 0.4) -> FloatTable:
    """Times that rise with the change, and some noise, as trained ones have."""
    rng = np.random.default_rng(seed)
    start = np.linspace(0.17, 0.99, starts) + rng.uniform(-0.2, 0.2, starts) / starts
    change = np.geomspace(2e-3, 0.83, changes)
    values = np.linspace(-1.0, 1.0, changes) / 4.0 + spread * rng.normal(size=(2, starts, changes))
    return FloatTable(*(v.astype(np.float32).astype(np.float64) for v in (start, change, values)))


@pytest.fixture(scope="session")
def write(networks) -> Write:
    def write(path: Path, table: FloatTable, encoding: str = "log10_s", **changes: object) -> Path:
        model = build_table(table)
        attach_metadata(model, metadata_from_dict({**networks.metadata(encoding), **changes}))
        path.write_bytes(model.SerializeToString())
        return path

    return write


SHAPES = [(16, 16), (2, 2), (3, 17), (128, 5)]


@pytest.fixture(scope="module", params=[(16, 16), (2, 5)], ids=lambda shape: "x".join(map(str, shape)))
def made(request, write: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    path = write(folder / "net.onnx", random_table(*request.param, spread=0.2))
    return make_firmware(path, BOARD, folder / "fw", None, False).folder


# --- the network file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_onnx_evaluates_the_graph_alike(write: Write, tmp_path: Path, shape: tuple[int, int]) -> None:
    network = load_network(write(tmp_path / "net.onnx", random_table(*shape)))
    assert network.table is not None
    x = np.random.default_rng(3).uniform(-1.2, 1.2, (300, 2)).astype(np.float32)
    (y,) = ReferenceEvaluator(onnx.load(tmp_path / "net.onnx")).run(None, {"x": x})
    np.testing.assert_allclose(network.table.evaluate(x.astype(np.float64)), y, atol=2e-4)
    assert np.array_equal(network.table.values, random_table(*shape).values)


def test_between_nodes_a_table_is_bilinear_and_beyond_them_flat() -> None:
    table = FloatTable(np.array([0.0, 1.0]), np.array([1.0, 3.0]), np.array([[[0.0, 2.0], [4.0, 6.0]]] * 2))
    x = np.array([[0.0, 1.0], [0.5, -2.0], [1.0, 3.0], [-1.0, 0.5], [2.0, -9.0]])
    assert table.evaluate(x)[:, 0].tolist() == [0.0, 3.0, 6.0, 0.0, 6.0]


def spoil_operator(model: onnx.ModelProto) -> None:
    next(n for n in model.graph.node if n.op_type == "Abs").op_type = "Neg"


def spoil_ramp(model: onnx.ModelProto) -> None:
    (tensor,) = [t for t in model.graph.initializer if t.name == "start_width"]
    tensor.CopyFrom(onnx.numpy_helper.from_array(2 * onnx.numpy_helper.to_array(tensor), tensor.name))


def spoil_order(model: onnx.ModelProto) -> None:
    (tensor,) = [t for t in model.graph.initializer if t.name == "change_nodes"]
    turned = np.ascontiguousarray(onnx.numpy_helper.to_array(tensor)[:, ::-1])
    tensor.CopyFrom(onnx.numpy_helper.from_array(turned, tensor.name))


def spoil_values(model: onnx.ModelProto) -> None:
    (tensor,) = [t for t in model.graph.initializer if t.name == "values"]
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.nan * onnx.numpy_helper.to_array(tensor), tensor.name))


def lose_nodes(model: onnx.ModelProto) -> None:
    (tensor,) = [t for t in model.graph.initializer if t.name == "start_nodes"]
    tensor.name = "other"


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (spoil_operator, "not those that codegen.table.build_table writes"),
        (spoil_ramp, "not those that codegen.table.build_table writes"),
        (spoil_order, "change nodes must be finite and ascending"),
        (spoil_values, "values must be finite"),
        (lose_nodes, "it lacks its nodes or values"),
    ],
)
def test_other_graphs_are_refused(write: Write, tmp_path: Path, spoil, complaint: str) -> None:
    path = write(tmp_path / "net.onnx", random_table())
    model = onnx.load(path)
    spoil(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="unusable look-up table") as caught:
        load_network(path)
    assert complaint in str(caught.value)


def test_a_table_of_other_inputs_or_outputs_is_refused(networks, write: Write, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must have two inputs and a log10_s output"):
        load_network(write(tmp_path / "net.onnx", random_table(), "linear_s"))
    start, change = networks.metadata()["inputs"]
    inputs = [start, {**change, "offset": 1e-5}]
    with pytest.raises(UserError, match="needs delta_g_S from offset 0"):
        load_network(write(tmp_path / "net.onnx", random_table(), inputs=inputs))


# --- integers, C, machine code -----------------------------------------------------------------------------


def test_c_equals_the_reference_as_optimised(made: Path) -> None:
    assert verify_random(HostLibrary(made), 200_000, seed=2, jobs=2) == 200_000


def test_the_most_extreme_values_do_not_overflow(write: Write, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    table = random_table(5, 4)
    table = FloatTable(table.start, table.change, rng.choice([-30.0, 3.0, 30.0], table.values.shape))
    made = make_firmware(write(tmp_path / "net.onnx", table), BOARD, tmp_path / "fw", None, False)
    assert made.model.table is not None
    assert {min(made.model.table.values), max(made.model.table.values)} == {-INT16_MAX, INT16_MAX}
    assert verify_sanitized(HostLibrary(made.folder), 20_000, seed=1) == 20_000


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_integers_lie_between_their_nodes_and_hit_them(data: st.DataObject) -> None:
    int16 = st.integers(-INT16_MAX, INT16_MAX)
    start = sorted(data.draw(st.sets(int16, min_size=2, max_size=6)))
    change = sorted(data.draw(st.sets(st.integers(1, INT16_MAX), min_size=2, max_size=6)))
    seed = data.draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    values = rng.integers(-INT16_MAX, INT16_MAX, (2, len(start), len(change)), endpoint=True)
    table = QuantizedTable(
        start=tuple(start),
        change=tuple(change),
        log2_ticks_q10=tuple(tuple(map(tuple, page)) for page in values.tolist()),
    )
    x = rng.integers(-INT16_MAX - 1, INT16_MAX, (500, 2), endpoint=True)
    found = table.accumulators(x)
    i = np.clip(np.searchsorted(start, x[:, 0], side="right") - 1, 0, len(start) - 2)
    j = np.clip(np.searchsorted(change, np.abs(x[:, 1]), side="right") - 1, 0, len(change) - 2)
    page = (x[:, 1] > 0).astype(int)
    corners = np.stack([values[page, i + a, j + b] for a in (0, 1) for b in (0, 1)])
    assert (found >= 8 * corners.min(axis=0)).all() and (found <= 8 * corners.max(axis=0)).all()
    nodes = np.array([(a, sign * b) for sign in (-1, 1) for a in start[:-1] for b in change[:-1]])
    assert np.array_equal(table.accumulators(nodes), 8 * values[:, :-1, :-1].ravel())


def test_integers_stay_close_to_the_float_table(made: Path) -> None:
    network = load_network(made.parent / "net.onnx")
    firmware = load_firmware(made)
    low, high = firmware.model.g_min_nS, firmware.model.g_max_nS
    start, target = np.random.default_rng(5).integers(low, high, (2, 20_000), endpoint=True)
    far = np.abs(target - start) > 20_000  # a step of the integer inputs, 16 nS, counts less
    wanted = FloatPredictor(network, BOARD).predict(start[far], target[far])
    found = ReferencePredictor(firmware.model).predict(start[far], target[far])
    assert np.array_equal(found.direction, wanted.direction) and np.array_equal(found.v_uV, wanted.v_uV)
    long = wanted.ticks > 100  # whole ticks do not count then
    octaves = np.abs(np.log2(found.ticks[long] / wanted.ticks[long]))
    assert np.quantile(octaves, 0.99) < 0.05
    assert firmware.report["output_rms_error_of_full_scale"] < 2e-3


CORES_THERE = [c.name for c in CORES.values() if has_engine(c) and find_cross_compilers(c.family)]


@pytest.mark.skipif(not CORES_THERE, reason="no cross compiler")
def test_cores_compute_the_reference(made: Path) -> None:
    for name in CORES_THERE:
        size = measure(made, CORES[name])  # raises where the machine code differs
        assert size.kernel == "table" and size.table_bytes < size.network_flash_bytes
        assert size.instructions < 1000


def test_profiles_and_boards_make_the_same_table(write: Write, tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", random_table())
    models = set()
    for profile in PROFILES:
        made = make_firmware(path, BOARD, tmp_path / profile, None, False, profile=profile)
        models.add(made.model.to_json())
        assert made.kernel == "table" and made.table_bytes == 2 * 512 + 2 * 32 + 4 * 30
    assert len(models) == 1
    uno = make_firmware(path, load_board("arduino-uno"), tmp_path / "uno", None, False)
    assert uno.kernel == "table" and "OURO_FLASH int16_t log2_ticks_q10[512]" in (
        uno.folder / "src" / "ouro_network.c"
    ).read_text(encoding="utf-8")


def test_the_controller_runs_on_it(made: Path) -> None:
    (found,) = cosimulate([made], BOARD, load_preset("ouroboros"), 11, 200, jobs=2)
    assert found.statuses and found.c.mean_rpd == found.reference.mean_rpd


def test_the_command_and_the_saved_model(write: Write, tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", random_table())
    done = CliRunner().invoke(main, ["firmware", str(path), "--board", "generic", "-o", str(tmp_path / "fw")])
    assert done.exit_code == 0, done.output
    assert "table-16x16x2 for board generic, profile balanced, 1208 bytes of tables" in done.stdout
    readme = (tmp_path / "fw" / "README.md").read_text()
    assert "a look-up table, bilinear over 16 start conductances and 16 sizes of the change" in readme
    text = (tmp_path / "fw" / "quantized_model.json").read_text()
    assert QuantizedModel.from_json(text).to_json() == text


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"layers": []', '"layers": 1', "layers"),
        ('"multiplier": 16', '"multiplier": 9', "a table's decode must be 16 / 2**1"),
        ('"start": [', '"start": [32767, ', "a table's nodes must ascend"),
        ('"change": [', '"change": [-5, ', "a table's changes must be positive"),
        ('"change": [', '"change": [1, ', "a table needs two pages"),
        ('"encoding": "log10_s"', '"encoding": "linear_s"', "a table must stand alone"),
    ],
)
def test_unsound_integer_tables_are_refused(made: Path, old: str, new: str, complaint: str) -> None:
    text = (made / "quantized_model.json").read_text()
    assert text.count(old) == 1
    with pytest.raises(UserError) as caught:
        QuantizedModel.from_json(text.replace(old, new))
    assert complaint in str(caught.value)


def test_nodes_closer_than_the_integer_inputs_steps_are_refused(write: Write, tmp_path: Path) -> None:
    table = random_table()
    change = np.concatenate([[1e-9, 2e-9], table.change[2:]]) / SCALE_S * np.r_[1, 1, [SCALE_S] * 14]
    close = FloatTable(table.start, change, table.values)
    with pytest.raises(UserError, match="nodes of delta_g_S lie closer than the step"):
        make_firmware(write(tmp_path / "net.onnx", close), BOARD, tmp_path / "fw", None, False)
