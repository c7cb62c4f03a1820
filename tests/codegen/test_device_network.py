"""Networks that see what is known of the device: float, reference and compiled C, states included, bit for bit."""

import numpy as np
import pytest
from click.testing import CliRunner

from codegen.__main__ import main
from codegen.boards import load_board
from codegen.controllers import ControllerBank, Request
from codegen.cores import load_core
from codegen.cross import find_cross_compilers
from codegen.device_state import (
    CELLS,
    DeviceStates,
    calibration_target_nS,
    reference_ticks,
    updated,
)
from codegen.firmware import load_firmware, make_firmware
from codegen.float_predictor import FloatPredictor
from codegen.host import HostLibrary
from codegen.onnx_import import load_network
from codegen.reference import ReferencePredictor
from codegen.state_cost import update_cost
from codegen.target import build_elf
from codegen.verify import verify_random, verify_sanitized
from sim.closed_loop import draw_trials
from sim.errors import UserError
from sim.noise import load_preset

BOARD = load_board("generic")
TIMES = (6e-3 * np.linspace(0.0, 1.0, CELLS + 1) ** 3).tolist()
STATE_INPUTS = [
    {"name": "log2_rate", "offset": 0.0, "scale": 4.0},
    {"name": "known_pulses", "offset": 0.0, "scale": 4.0},
]
ANY = 2**31 - 1


@pytest.fixture(scope="module")
def made(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("device")
    return make_firmware(networks.write_device_aware(folder / "net.onnx"), BOARD, folder / "fw", None, False)


@pytest.fixture(scope="module")
def library(made):
    return HostLibrary(made.folder)


def states_of(generator, n):
    rate = generator.integers(-128, 127, n, endpoint=True).astype(np.int8)
    return DeviceStates(rate, generator.integers(0, 255, n, endpoint=True).astype(np.uint8))


def test_c_equals_reference_for_any_state(made, library):
    generator = np.random.default_rng(1)
    n, m = 100_000, made.model
    start = generator.integers(-ANY - 1, ANY, n, endpoint=True)
    start[: n // 2] = generator.integers(m.g_min_nS, m.g_max_nS, n // 2, endpoint=True)
    target = generator.integers(m.g_min_nS - 1000, m.g_max_nS + 1000, n, endpoint=True)
    states = states_of(generator, n)
    expected = ReferencePredictor(m).predict_batch(start, target, states)
    found = library.predict_batch(start, target, states)
    for name in ("direction", "ticks", "v_uV", "status"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert len(np.unique(found.ticks)) > 10_000
    unknown = library.predict_batch(start, target, DeviceStates.fresh(n))
    np.testing.assert_array_equal(unknown.ticks, library.predict_batch(start, target).ticks)
    assert (unknown.ticks != found.ticks).mean() > 0.3, "the state must matter"


def test_c_equals_reference_without_a_state_under_sanitizers(library):
    assert verify_random(library, 50_000, seed=2, jobs=2) == 50_000
    assert verify_sanitized(library, 5_000, seed=1) == 5_000


def test_states_are_updated_alike(made, library):
    generator = np.random.default_rng(3)
    n, m = 200_000, made.model
    before, after = generator.integers(m.g_min_nS - 5000, m.g_max_nS + 5000, (2, n))
    after[: n // 4] = before[: n // 4] + generator.integers(-2000, 2000, n // 4)
    before[-1000:], after[-1000:] = generator.integers(-ANY - 1, ANY, (2, 1000), endpoint=True)
    direction = generator.integers(-1, 1, n, endpoint=True).astype(np.int8)
    ticks = np.exp2(generator.uniform(0, 31, n)).astype(np.int64) * (generator.random(n) > 0.05)
    states = states_of(generator, n)
    expected = updated(states, m.reference_times(), before, after, direction, ticks)
    found = library.update_states(states, before, after, direction, ticks)
    np.testing.assert_array_equal(found.log2_rate_q4, expected.log2_rate_q4)
    np.testing.assert_array_equal(found.pulses, expected.pulses)
    assert len(np.unique(found.log2_rate_q4)) == 256


def test_calibration_pulses_are_alike(made, library):
    generator = np.random.default_rng(4)
    n, m = 50_000, made.model
    g_nS, states = generator.integers(m.g_min_nS - 5000, m.g_max_nS + 5000, n), states_of(generator, n)
    target = calibration_target_nS(m.reference_times(), g_nS)
    expected = reference_ticks(m.reference_times(), states, g_nS, target)
    direction, ticks = library.calibration_pulses(states, g_nS)
    np.testing.assert_array_equal(direction, np.sign(target - g_nS))
    np.testing.assert_array_equal(ticks, np.clip(expected, m.min_ticks, m.max_ticks))


def test_float_and_integers_agree(made):
    generator = np.random.default_rng(5)
    m = made.model
    start, target = generator.integers(m.g_min_nS, m.g_max_nS, (2, 5000), endpoint=True)
    states = states_of(generator, 5000)
    network = load_network(made.folder.parent / "net.onnx")
    wanted = FloatPredictor(network, BOARD).predict(start, target, states).ticks
    found = ReferencePredictor(m).predict(start, target, states).ticks
    long = (wanted > 1000) & (wanted < m.max_ticks)
    assert long.sum() > 1000
    assert np.abs(found[long] / wanted[long] - 1).max() < 0.02


def test_the_model_survives_its_json(made):
    assert load_firmware(made.folder).model == made.model
    assert made.model.knows_device and len(made.model.inputs) == 4


def test_networks_without_state_have_no_states(networks, tmp_path):
    made = make_firmware(networks.write(tmp_path / "net.onnx"), BOARD, tmp_path / "fw", None, False)
    with pytest.raises(UserError, match="does not know its device"):
        HostLibrary(made.folder).calibration_pulses(DeviceStates.fresh(1), np.array([200_000]))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"device_reference": None}, "device_reference belongs to a network with the inputs"),
        ({"device_reference": {"set_s": TIMES[::-1], "reset_s": TIMES}}, "must rise from 0"),
        ({"device_reference": {"set_s": TIMES[:-1], "reset_s": TIMES[::-1]}}, "set_s"),
        ({"inputs": STATE_INPUTS[:1]}, "inputs"),
        ({"output": {"encoding": "linear_s", "offset": 0.0, "scale": 1e-3}}, "must have a log10_s output"),
    ],
)
def test_unsound_metadata_is_refused(networks, tmp_path, changes, problem):
    if "inputs" in changes:
        changes = {"inputs": [*networks.metadata()["inputs"], *changes["inputs"]]}
    with pytest.raises(UserError, match=problem):
        networks.write_device_aware(tmp_path / "net.onnx", **changes)


def test_times_beyond_the_timer_are_refused(networks, tmp_path):
    slow = {"set_s": [1e4 * t for t in TIMES], "reset_s": [1e4 * t for t in TIMES[::-1]]}
    path = networks.write_device_aware(tmp_path / "net.onnx", device_reference=slow)
    with pytest.raises(UserError, match="beyond what the timer of board 'generic' counts"):
        make_firmware(path, BOARD, tmp_path / "fw", None, False)


def test_states_that_a_board_cannot_hold_are_refused(networks, tmp_path):
    path = networks.write_device_aware(tmp_path / "net.onnx")
    small = load_board("stm32vldiscovery")
    with pytest.raises(
        UserError, match=r"states of 64 x 64 devices take 8192 bytes of RAM; .* has 6912 of 8192"
    ):
        make_firmware(path, small, tmp_path / "fw", None, False)
    array = small.array.model_copy(update={"rows": 32})
    made = make_firmware(path, small.model_copy(update={"array": array}), tmp_path / "fw", None, False)
    config = (made.folder / "src" / "ouro_config.h").read_text()
    assert "OURO_STATE_ROWS    32U" in config and "OURO_STATE_COLUMNS 64U" in config
    with pytest.raises(UserError, match=r"add rows and columns to its board.toml as \[array\]"):
        make_firmware(path, small.model_copy(update={"array": None}), tmp_path / "none", None, False)
    ordinary = make_firmware(networks.write(path), small, tmp_path / "ordinary", None, False)
    assert "OURO_STATE" not in (ordinary.folder / "src" / "ouro_config.h").read_text()


@pytest.mark.parametrize("name", ["rp2040", "hifive1-revb"])
def test_machine_code_learns_as_the_reference_does_and_is_counted(networks, tmp_path, name):
    board = load_board(name)
    core = load_core(board.target.cpu)
    if not find_cross_compilers(core.family):
        pytest.skip(f"no compiler for {name}: scripts/targets.sh installs one")
    path = networks.write_device_aware(tmp_path / "net.onnx")
    made = make_firmware(path, board, tmp_path / "fw", None, False)
    built = build_elf(made.folder, tmp_path / "elf")
    cost = update_cost(built.elf, core, made.model)
    assert 200 < cost.instructions < 1000 and cost.stack_bytes < 200
    done = CliRunner().invoke(main, ["size", str(built.elf), "--firmware", str(made.folder)])
    assert f"to learn from a pulse on {core.name}: {cost.instructions} instructions" in done.output
    coarser = made.model.reference.model_copy(update={"smallest_move_nS": 20_000})
    other = made.model.model_copy(update={"reference": coarser})
    with pytest.raises(UserError, match=r"machine code makes .* the integer reference"):
        update_cost(built.elf, core, other)


def test_controllers_learn_as_the_reference_does(made, library):
    """The compiled controllers, each with a state of its own, against the same loop around the integer reference."""
    trials, iterations = draw_trials(300, load_preset("ouroboros-devices"), 7), 6
    predictor, reference = ReferencePredictor(made.model), made.model.reference_times()
    bench, states = trials.bench(BOARD.bench_params()), DeviceStates.fresh(300)
    reads = [bench.read_nS()]
    for _ in range(iterations):
        direction, ticks, v_uV = predictor.predict(reads[-1], trials.g_target_nS, states)
        given = bench.pulse(v_uV, ticks)
        reads.append(bench.read_nS())
        saturated = reads[-1] >= BOARD.bench_params().code_to_nS(4095)
        assert not saturated.any()
        states = updated(states, reference, reads[-2], reads[-1], direction, given)
    found = DeviceStates.fresh(300)
    request = Request(max_iterations=iterations)
    run = ControllerBank(library.path).run(
        trials.bench(BOARD.bench_params()), trials.g_target_nS, request, found
    )
    assert run.unsafe == 0
    np.testing.assert_array_equal(run.trace.g_read_nS, np.stack(reads))
    np.testing.assert_array_equal(found.log2_rate_q4, states.log2_rate_q4)
    np.testing.assert_array_equal(found.pulses, states.pulses)
    assert len(np.unique(found.log2_rate_q4)) > 30
