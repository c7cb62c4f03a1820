"""Networks that know the error to expect of their pulses: the shortest pulse that keeps a wish, the same everywhere."""

import numpy as np
import pytest
from click.testing import CliRunner

from codegen.__main__ import main
from codegen.boards import load_board
from codegen.controllers import ONE_SHOT, ControllerBank, Request
from codegen.cosim import cosimulate
from codegen.firmware import make_firmware
from codegen.fixed import INT32_MAX, INT32_MIN
from codegen.float_predictor import FloatPredictor
from codegen.host import HostLibrary
from codegen.onnx_import import load_network
from codegen.qmodel import QuantizedModel
from codegen.reference import ReferencePredictor
from codegen.scpi_client import VerifySettings
from codegen.status import Status
from codegen.verify import verify_random
from codegen.voltage_choice import Wanted, choose
from sim.closed_loop import draw_trials
from sim.errors import UserError
from sim.noise import load_preset

BOARD = load_board("generic")
KERNELS = ("microbit", "stm32f405", "arduino-uno")  # tables of streams and of arrays: thumb, armv7em, avr


@pytest.fixture(scope="module")
def made(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wish")
    return make_firmware(
        networks.write_voltage(folder / "net.onnx", octaves=5.0), BOARD, folder / "fw", None, False
    )


@pytest.fixture(scope="module")
def plain(networks, tmp_path_factory):
    """One that does not know its error."""
    folder = tmp_path_factory.mktemp("plain")
    return make_firmware(networks.write_voltage(folder / "plain.onnx"), BOARD, folder / "fw", None, False)


@pytest.fixture(scope="module")
def pairs(made):
    generator = np.random.default_rng(1)
    return generator.integers(made.model.g_min_nS, made.model.g_max_nS, size=(2, 4000), endpoint=True)


@pytest.mark.parametrize(("longest_s", "wish_permille"), [(None, 20), (1e-3, 40), (3e-5, 100), (None, 1000)])
def test_c_equals_the_reference_on_random_vectors(made, longest_s, wish_permille):
    library = HostLibrary(
        made.folder, budget_ticks=BOARD.budget_ticks(longest_s), wish_permille=wish_permille
    )
    assert verify_random(library, 20_000, seed=2, jobs=2) == 20_000


def test_a_network_that_cannot_tell_promises_nothing(plain, pairs):
    library = HostLibrary(plain.folder, wish_permille=1000)
    assert verify_random(library, 20_000, seed=3, jobs=2) == 20_000
    found = library.predict_batch(*pairs)
    calm = HostLibrary(plain.folder).predict_batch(*pairs)
    assert (found.status[calm.status == Status.OK] == Status.NOT_PROMISED).all()
    assert (found.v_uV == calm.v_uV).all() and (found.ticks == calm.ticks).all()


def test_fixed_voltages_promise_too(networks, tmp_path):
    error = {"encoding": "log2_rpd", "offset": -3.0, "scale": -4.0}
    for encoding in ("linear_s", "log10_s"):
        layers = networks.layers((2, 8, 2), seed=4)
        path = networks.write(tmp_path / f"{encoding}.onnx", layers, encoding, expected_error=error)
        firmware = make_firmware(path, BOARD, tmp_path / encoding, None, False)
        start = np.linspace(firmware.model.g_min_nS, firmware.model.g_max_nS, 500).astype(np.int64)
        expected = load_network(path).expected_rpd(1e-9 * start, 1e-9 * start[::-1])
        library = HostLibrary(firmware.folder, wish_permille=round(1000 * np.median(expected)))
        assert verify_random(library, 20_000, seed=1, jobs=2) == 20_000
        status = library.predict_batch(start, start[::-1]).status
        assert {Status.OK, Status.NOT_PROMISED} <= set(status.tolist())


@pytest.mark.parametrize("board", KERNELS)
def test_every_kernels_tables_carry_the_second_output(networks, tmp_path, board):
    error = {"encoding": "log2_rpd", "offset": -3.0, "scale": 4.0}
    path = networks.write(
        tmp_path / "net.onnx", networks.layers((2, 12, 9, 2)), "log10_s", expected_error=error
    )
    firmware = make_firmware(path, load_board(board), tmp_path / "fw", None, False)
    assert verify_random(HostLibrary(firmware.folder, wish_permille=125), 5_000, seed=1, jobs=2) == 5_000


def test_the_shortest_pulse_that_keeps_the_wish_is_taken(made, pairs):
    """Errors fall with the step here, and widths grow."""
    model, wish, budget = made.model, 20, None
    found = ReferencePredictor(model, budget, wish).predict_batch(*pairs)
    calm = ReferencePredictor(model, budget).predict_batch(*pairs)
    promised = found.status == Status.OK
    assert 0.1 < promised.mean() < 0.95
    # Not promised: the pulse without a wish.
    assert (found.v_uV == calm.v_uV)[~promised].all() and (found.ticks == calm.ticks)[~promised].all()
    assert (np.abs(found.v_uV) >= np.abs(calm.v_uV))[promised].all() and (found.ticks <= calm.ticks)[
        promised
    ].all()
    # A modester wish never asks for a longer pulse, and is promised wherever a stricter one is.
    before = found
    for modester in (25, 60, 1000):
        now = ReferencePredictor(model, budget, modester).predict_batch(*pairs)
        assert (now.ticks <= before.ticks)[before.status == Status.OK].all()
        assert (now.status == Status.OK)[before.status == Status.OK].all()
        before = now


@pytest.mark.parametrize("wish_ppm", [0, 20, 35, 60, 200])
def test_the_choice_is_the_first_step_that_keeps_the_wish(wish_ppm):
    """Against a search step by step, on widths and errors of every shape that grows and falls."""
    generator = np.random.default_rng(7)
    n, most = 300, 40
    widths = np.cumsum(generator.integers(0, 30, size=(n, most + 1)), axis=1)
    errors = 100 - np.cumsum(generator.integers(0, 4, size=(n, most + 1)), axis=1)
    steps = generator.integers(0, most, size=n, endpoint=True)
    wanted = Wanted(shortest=5, budget=300, wish_ppm=wish_ppm)
    found = choose(lambda step: (widths[np.arange(n), step], errors[np.arange(n), step]), steps, wanted)
    for i in range(n):
        fitting = [k for k in range(steps[i] + 1) if widths[i, k] <= 300] or [0]
        keeping = [k for k in fitting if 5 <= widths[i, k] <= 300 and errors[i, k] <= wish_ppm]
        promised = not wish_ppm or (bool(keeping) and keeping[-1] == fitting[-1])
        assert found.promised[i] == promised
        assert found.step[i] == (keeping[0] if wish_ppm and promised else fitting[-1])
        assert found.width[i] == widths[i, found.step[i]]


def test_a_pulse_that_has_to_be_cut_or_stretched_promises_nothing(made, pairs):
    model = made.model
    found = ReferencePredictor(model, model.min_ticks, 1000).predict_batch(*pairs)
    assert (found.status == Status.NOT_PROMISED).all() and (found.ticks == model.min_ticks).all()


def test_float_and_integers_choose_alike(made, pairs):
    network = load_network(made.folder.parent / "net.onnx")
    wanted = FloatPredictor(network, BOARD, None, 40).predict(*pairs)
    found = ReferencePredictor(made.model, None, 40).predict(*pairs)
    off = np.abs(found.v_uV - wanted.v_uV)
    assert (found.direction == wanted.direction).all() and (off == 0).mean() > 0.95


def test_controllers_in_c_pulse_as_the_reference_does_and_tell(made):
    (found,) = cosimulate([made.folder], BOARD, load_preset("ouroboros"), 3, 200, wish_permille=20)
    assert set(found.statuses) == {"OK", "NOT_PROMISED"} and sum(found.statuses.values()) == 200
    assert found.c.wish_permille == 20
    trials = draw_trials(50, load_preset("ouroboros"), 5)
    bank = ControllerBank(HostLibrary(made.folder).path)
    request = Request(mode=ONE_SHOT, max_iterations=1, wish_permille=1)
    run = bank.run(trials.bench(BOARD.bench_params()), trials.g_target_nS, request)
    assert (run.status == Status.NOT_PROMISED).all() and run.unsafe == 0


def test_the_command_says_which_pulses_promise(made, plain, tmp_path):
    (tmp_path / "pairs.csv").write_text("g_start_nS,g_target_nS\n100000,500000\n500000,100000\n")
    arguments = ["predict", str(made.folder), str(tmp_path / "pairs.csv"), "-o", str(tmp_path / "out.csv")]

    def run(*options):
        result = CliRunner().invoke(main, [*arguments, *options])
        if isinstance(result.exception, UserError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return (tmp_path / "out.csv").read_text().splitlines()

    assert run()[0] == "ticks,direction,v_uV"
    for wish, promised in (("1", "1"), ("0.001", "0")):
        header, *lines = run("--wish", wish)
        assert header == "ticks,direction,v_uV,promised" and [line[-1] for line in lines] == [promised] * 2
    for wish in ("0", "1.1", "0.0005", "nan", "-1"):
        with pytest.raises(UserError, match=r"give an RPD of 0\.001 \.\. 1"):
            run("--wish", wish)
    arguments[1] = str(plain.folder)
    with pytest.raises(UserError, match="does not know the errors of its pulses"):
        run("--wish", "0.1")


def test_bad_wishes_are_refused(made, plain):
    for wish in (-1, 1001):
        with pytest.raises(UserError, match=r"outside 0 \.\. 1000; 0 is none"):
            ReferencePredictor(made.model, wish_permille=wish)
        with pytest.raises(UserError, match=r"outside 0 \.\. 1000; 0 is none"):
            HostLibrary(made.folder, wish_permille=wish)
    library = HostLibrary(made.folder)
    library.wish_permille = 1001
    assert library.predict_batch([100_000], [200_000]).status == [Status.ERR_ARGUMENT]
    library.wish_permille = 1000
    assert library.predict_batch([INT32_MIN, INT32_MAX], [200_000] * 2).status.tolist() == [Status.OK] * 2
    with pytest.raises(UserError, match="does not know the errors of its pulses"):
        cosimulate([plain.folder], BOARD, load_preset("ouroboros"), 3, 5, wish_permille=50)


def test_a_client_configures_the_wish():
    assert VerifySettings(tolerance_permille=20, wish_permille=50).commands() == [
        "CONF:TOL:REL 20",
        "CONF:PREC 50",
    ]


def test_metadata_and_outputs_have_to_agree(networks, tmp_path):
    error = {"encoding": "log2_rpd", "offset": -3.0, "scale": 4.0}
    for outputs, fields, wanted in (
        (2, {}, "one"),
        (1, {"expected_error": error}, "two, as its metadata has"),
    ):
        path = networks.write(tmp_path / "net.onnx", networks.layers((2, 4, outputs)), "log10_s", **fields)
        with pytest.raises(UserError, match=f"'y' must have shape|it must have {wanted}"):
            load_network(path)
    for spoilt in ({**error, "scale": 0.0}, {**error, "encoding": "rpd"}, {**error, "more": 1}):
        with pytest.raises(UserError, match="expected_error"):
            networks.write(
                tmp_path / "net.onnx", networks.layers((2, 4, 2)), "log10_s", expected_error=spoilt
            )


def test_the_integer_model_survives_its_file(made, plain):
    for firmware in (made, plain):
        text = firmware.model.to_json()
        assert QuantizedModel.from_json(text) == firmware.model
        assert ("error_decode" in text) == (firmware is made)
    broken = plain.model.to_json().replace(
        '"schema"', '"error_decode": {"multiplier": 1, "shift": 1}, "schema"'
    )
    with pytest.raises(UserError, match="lead from 3 inputs to 2 outputs"):
        QuantizedModel.from_json(broken)
