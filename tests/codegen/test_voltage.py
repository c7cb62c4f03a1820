"""Networks that see the pulse's amplitude: the lowest one whose pulse fits the budget, the same everywhere."""

import numpy as np
import pytest

from codegen.boards import load_board
from codegen.controllers import ControllerBank, Request
from codegen.cosim import cosimulate
from codegen.firmware import make_firmware
from codegen.float_predictor import FloatPredictor
from codegen.host import HostLibrary
from codegen.onnx_import import load_network
from codegen.reference import ReferencePredictor
from codegen.status import Status
from codegen.verify import verify_random, verify_sanitized
from sim.closed_loop import draw_trials
from sim.errors import UserError
from sim.noise import load_preset

BOARD = load_board("generic")


@pytest.fixture(scope="module")
def made(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("voltage")
    return make_firmware(networks.write_voltage(folder / "net.onnx"), BOARD, folder / "fw", None, False)


@pytest.fixture(scope="module")
def pairs(made):
    generator = np.random.default_rng(1)
    return generator.integers(made.model.g_min_nS, made.model.g_max_nS, size=(2, 4000), endpoint=True)


def test_equal_on_random_vectors_under_sanitizers(made):
    assert verify_sanitized(HostLibrary(made.folder), 20_000, seed=1) == 20_000


@pytest.mark.parametrize("longest_s", [None, 3e-5, 1e-3])
def test_equal_on_random_vectors_within_a_budget(made, longest_s):
    library = HostLibrary(made.folder, budget_ticks=BOARD.budget_ticks(longest_s))
    assert verify_random(library, 50_000, seed=2, jobs=2) == 50_000


def test_the_calmest_pulse_that_fits_is_taken(made, pairs):
    voltages, budget = made.model.voltages, BOARD.budget_ticks(1e-3)
    for steps, step_uV, range_uV in (
        (voltages.set_steps, voltages.set_step_uV, 135_000),
        (voltages.reset_steps, voltages.reset_step_uV, 260_000),
    ):
        assert 32 <= steps <= 63 and step_uV % BOARD.dac.lsb_uV == 0
        assert range_uV - step_uV - BOARD.dac.lsb_uV < steps * step_uV <= range_uV
    direction, ticks, v_uV = ReferencePredictor(made.model, budget).predict(*pairs)
    assert (np.sign(-v_uV) == direction).all() and (ticks <= budget).all()
    assert not (v_uV % BOARD.dac.lsb_uV).any()
    assert v_uV[direction > 0].min() >= -390_000 and v_uV.max() <= 800_000
    assert v_uV[direction > 0].max() <= -255_000 and v_uV[direction < 0].min() >= 540_000
    every = {}
    for longest in range(0, budget + 1, budget // 40):
        if longest >= made.model.min_ticks:
            every[longest] = np.abs(ReferencePredictor(made.model, longest).predict(*pairs).v_uV)
    chain = np.stack(list(every.values()))
    assert (np.diff(chain, axis=0) <= 0).all(), "a larger budget never asks for more voltage"
    assert (chain[0] > chain[-1]).mean() > 0.9


def test_without_room_for_the_full_voltage_the_pulse_is_cut_to_the_budget(made, pairs):
    budget = made.model.min_ticks
    direction, ticks, v_uV = ReferencePredictor(made.model, budget).predict(*pairs)
    assert (ticks[direction != 0] == budget).all()
    full = np.where(direction > 0, made.model.voltages.v_set_uV, made.model.voltages.v_reset_uV)
    assert (v_uV[direction != 0] == full[direction != 0]).all()


def test_float_and_integers_choose_alike(made, pairs):
    network = load_network(made.folder.parent / "net.onnx")
    budget = BOARD.budget_ticks(1e-3)
    wanted = FloatPredictor(network, BOARD, budget).predict(*pairs)
    found = ReferencePredictor(made.model, budget).predict(*pairs)
    assert (found.direction == wanted.direction).all()
    off = np.abs(found.v_uV - wanted.v_uV)
    assert (off <= np.where(found.direction > 0, 2500, 4500)).all() and (off == 0).mean() > 0.95
    same = (off == 0) & (wanted.ticks > 1000)
    assert np.abs(found.ticks[same] / wanted.ticks[same] - 1).max() < 0.01


def test_controllers_in_c_pulse_as_the_reference_does(made):
    (found,) = cosimulate([made.folder], BOARD, load_preset("ouroboros"), 3, 200, longest_s=2e-4)
    assert sum(found.statuses.values()) == 200


def test_a_controller_keeps_to_its_budget(made):
    trials = draw_trials(100, load_preset("ouroboros"), 5)
    bank = ControllerBank(HostLibrary(made.folder).path)
    budget = BOARD.budget_ticks(1e-4)
    request = Request(tolerance_permille=50, max_iterations=5, budget_ticks=budget)
    run = bank.run(trials.bench(BOARD.bench_params()), trials.g_target_nS, request)
    assert run.trace.ticks.max() <= budget and run.unsafe == 0
    refused = bank.run(
        trials.bench(BOARD.bench_params()), trials.g_target_nS, Request(budget_ticks=made.model.min_ticks - 1)
    )
    assert (refused.status == Status.ERR_ARGUMENT).all() and not refused.trace.ticks.any()


def test_a_budget_below_the_shortest_pulse_is_refused(made):
    with pytest.raises(UserError, match="longest pulse = 1e-10 s: board 'generic' gives"):
        BOARD.budget_ticks(1e-10)
    for predictor in (
        lambda: ReferencePredictor(made.model, 0),
        lambda: HostLibrary(made.folder, budget_ticks=0),
    ):
        with pytest.raises(UserError, match="a pulse budget of 0 ticks"):
            predictor()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pulse": {"v_set_V": -0.39, "v_reset_V": 0.8}}, "belong to a network with the input v_reduction_V"),
        (
            {"pulse": {"v_set_V": -0.39, "v_reset_V": 0.8, "set_reduction_V": 0.4, "reset_reduction_V": 0.2}},
            "must leave a voltage",
        ),
        ({"output": {"encoding": "linear_s", "offset": 0.0, "scale": 1e-3}}, "must have a log10_s output"),
        (
            {"pulse": {"v_set_V": -0.39, "v_reset_V": 1.4, "set_reduction_V": 0.1, "reset_reduction_V": 0.2}},
            r"the network uses up to 1\.4 V; board 'generic' gives at most",
        ),
    ],
)
def test_unusable_voltages_are_refused(networks, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        path = networks.write_voltage(tmp_path / "net.onnx", **changes)
        make_firmware(path, BOARD, tmp_path / "fw", None, False)
    assert not (tmp_path / "fw").exists()
