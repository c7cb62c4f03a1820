"""The interpreter and the compiled C compute the same numbers: exactly, on all inputs, under sanitizers."""

import numpy as np
import pytest

from codegen.boards import load_board
from codegen.firmware import make_firmware
from codegen.fixed import INT32_MAX, INT32_MIN
from codegen.host import HostLibrary, predict_sanitized
from codegen.reference import ReferencePredictor
from codegen.status import Status
from codegen.verify import random_pairs, require_equal, verify_codes, verify_random, verify_sanitized
from firmware_templates import STATIC
from sim.errors import UserError

SIZES = {
    "paper": (2, 32, 64, 32, 1),
    "single": (2, 1),
    "tiny": (2, 1, 1),
    "deep": (2, 7, 5, 9, 3, 8, 4, 6, 1),
}
CASES = [
    ("paper", "linear_s", 1.0, "generic"),
    ("paper", "log10_s", 1.0, "generic"),
    ("paper", "log10_s", 4.0, "openmena"),
    ("single", "linear_s", 1.0, "generic"),
    ("tiny", "log10_s", 0.3, "generic"),
    ("deep", "linear_s", 2.0, "openmena"),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, case)))
def library(request, networks, tmp_path_factory):
    topology, encoding, spread, board = request.param
    folder = tmp_path_factory.mktemp("firmware")
    layers = networks.layers(SIZES[topology], seed=5, spread=spread)
    path = networks.write(folder / "net.onnx", layers, encoding)
    make_firmware(path, load_board(board), folder / "fw", None, False)
    return HostLibrary(folder / "fw")


def test_equal_on_random_vectors_under_sanitizers(library):
    assert verify_sanitized(library, 100_000, seed=1) == 100_000


def test_equal_on_random_vectors_as_optimised(library):
    assert verify_random(library, 100_000, seed=2, jobs=2) == 100_000


def test_equal_on_a_sample_of_the_code_pairs(library):
    assert verify_codes(library, jobs=2, step=200) == 21 * 4096


def test_results_keep_their_promises(library):
    model = library.model
    start, target = random_pairs(library, 20_000, 3, 0)
    found = library.predict_batch(start, target)
    outside = (target < model.g_min_nS) | (target > model.g_max_nS)
    assert (found.status[outside] == Status.ERR_TARGET_RANGE).all()
    assert (found.status[~outside & (start == target)] == Status.NO_PULSE_NEEDED).all()
    pulses = found.status == Status.OK
    assert pulses.sum() > 5_000
    assert (found.ticks[pulses] >= model.min_ticks).all() and (found.ticks[pulses] <= model.max_ticks).all()
    assert (np.abs(found.direction[pulses]) == 1).all()
    assert not found.ticks[~pulses].any() and not found.direction[~pulses].any()
    if model.encoding == "log10_s":
        assert (found.direction[pulses] == np.sign(target - start)[pulses]).all()


def test_a_start_outside_the_window_is_clamped(library):
    model = library.model
    target = (model.g_min_nS + model.g_max_nS) // 2
    beyond = library.predict_batch(
        np.array([INT32_MIN, 0, model.g_max_nS + 1, INT32_MAX]), np.full(4, target)
    )
    border = library.predict_batch(np.array([model.g_min_nS, model.g_max_nS]), np.full(2, target))
    assert beyond.ticks.tolist() == border.ticks[[0, 0, 1, 1]].tolist()


@pytest.mark.parametrize("kind", [HostLibrary, ReferencePredictor])
def test_predict_refuses_targets_outside_the_window(library, kind):
    predictor = library if kind is HostLibrary else ReferencePredictor(library.model)
    with pytest.raises(
        UserError, match=r"target 94449 nS is outside the trained window 94450 \.\. 559300 nS"
    ):
        predictor.predict(np.array([100_000, 100_000]), np.array([94_450, 94_449]))
    with pytest.raises(UserError, match="whole numbers"):
        predictor.predict(np.array([1e5]), np.array([2e5]))
    with pytest.raises(UserError, match="32-bit"):
        predictor.predict(np.array([2**31]), np.array([200_000]))


@pytest.mark.parametrize("what", ["weight", "shift", "window"])
def test_a_changed_firmware_is_caught(networks, tmp_path, what):
    path = networks.write(tmp_path / "net.onnx", networks.layers(seed=2))
    make_firmware(path, load_board("generic"), tmp_path / "fw", None, False)
    name, old, new = {
        "weight": ("src/ouro_network.c", "/* from row 0 */\n    0x", "/* from row 0 */\n    ~0x"),
        "shift": ("src/ouro_fixed.h", "UINT32_C(1) << (shift - 1U)", "UINT32_C(0) << (shift - 1U)"),
        "window": ("src/ouro_config.h", "INT32_C(94450)", "INT32_C(94451)"),
    }[what]
    source = tmp_path / "fw" / name
    text = source.read_text()
    assert old in text
    source.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match="the C differs from the integer model at g_start"):
        verify_random(HostLibrary(tmp_path / "fw"), 20_000, seed=1)


def test_sanitizers_catch_overflow(networks, tmp_path):
    path = networks.write(tmp_path / "net.onnx", networks.layers(seed=2))
    make_firmware(path, load_board("generic"), tmp_path / "fw", None, False)
    source = tmp_path / "fw" / "src" / "ouro_predictor.c"
    clamped = "ouro_clamp(g_start_nS, OURO_G_MIN_nS, OURO_G_MAX_nS)"
    text = source.read_text()
    assert clamped in text
    source.write_text(text.replace(clamped, "g_start_nS"))
    with pytest.raises(UserError, match=r"failed under the sanitizers.*signed integer overflow"):
        predict_sanitized(tmp_path / "fw", np.array([INT32_MIN]), np.array([200_000]))


def test_differences_are_told_apart(library):
    reference = ReferencePredictor(library.model).predict_batch
    start, target = np.array([100_000, 120_000]), np.array([200_000, 220_000])

    def other(s, t):
        found = reference(s, t)
        found.ticks[1] += 1
        return found

    with pytest.raises(UserError, match="at g_start 120000 nS, g_target 220000 nS: direction"):
        require_equal(reference, other, start, target)


def test_python_knows_every_status_of_the_header():
    lines = (STATIC / "ouro_status.h").read_text().splitlines()
    pairs = [line.split("/*")[0].strip(" ,").split(" = ") for line in lines if line.startswith("    OURO_")]
    assert {name.removeprefix("OURO_"): int(value) for name, value in pairs} == {
        status.name: status.value for status in Status
    }
