import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codegen.boards import load_board
from codegen.calibration import dataset_pairs, grid_pairs
from codegen.firmware import make_firmware
from codegen.fixed import INT32_MAX
from codegen.float_predictor import FloatPredictor
from codegen.folding import fold
from codegen.onnx_import import load_network
from codegen.precision import precision_report
from codegen.quantize import quantize
from codegen.reference import ReferencePredictor, quantise_inputs
from sim.errors import UserError

WINDOW = (94_450, 559_300)
BOARD = load_board("generic")


def quantized(path, pairs=None):
    network = load_network(path)
    pairs = pairs or grid_pairs(*WINDOW)
    return network, quantize(network, BOARD, pairs)


@pytest.mark.parametrize("encoding", ["linear_s", "log10_s"])
@pytest.mark.parametrize("seed", range(3))
def test_predictions_stay_close_to_the_float_network(networks, tmp_path, encoding, seed):
    path = networks.write(tmp_path / "net.onnx", networks.layers(seed=seed), encoding)
    network, model = quantized(path)
    generator = np.random.default_rng(seed)
    codes = generator.integers(591, 3495, size=(2, 20_000))
    start, target = codes * 160
    y = fold(network, BOARD).output([start, target - start])
    acc = ReferencePredictor(model).accumulators([start, target - start])
    error = np.ldexp(acc.astype(float), -model.layers[-1].accumulator_bits[0]) - y
    # Untrained networks use a small part of the range their weights span, and so of the accumulators.
    assert np.abs(error).max() < 5e-4 * np.abs(y).max()
    assert np.sqrt(np.mean(error**2)) < 1e-4 * np.abs(y).max()
    assert abs(error.mean()) < 2e-5 * np.abs(y).max()


@pytest.mark.parametrize("encoding", ["linear_s", "log10_s"])
def test_ticks_and_directions_follow_the_float_predictor(networks, tmp_path, encoding):
    path = networks.write(tmp_path / "net.onnx", networks.layers(seed=4, spread=2), encoding)
    network, model = quantized(path)
    generator = np.random.default_rng(1)
    start = generator.integers(0, 655_360, 20_000)
    target = generator.integers(*WINDOW, 20_000)
    direction, ticks, _ = ReferencePredictor(model).predict(start, target)
    float_direction, float_ticks, _ = FloatPredictor(network, BOARD).predict(start, target)
    far = float_ticks > 1000
    assert (direction[far] == float_direction[far]).all()
    if encoding == "log10_s":
        np.testing.assert_allclose(ticks, float_ticks, rtol=5e-3, atol=1)
    else:
        np.testing.assert_allclose(ticks * direction, float_ticks * float_direction, atol=5e-4 * ticks.max())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 40), min_size=0, max_size=5),
    seed=st.integers(0, 1000),
    spread=st.sampled_from([0.01, 0.3, 1.0, 3.0, 30.0]),
    encoding=st.sampled_from(["linear_s", "log10_s"]),
)
def test_any_network_gets_accumulators_that_cannot_overflow(
    networks, tmp_path, sizes, seed, spread, encoding
):
    layers = networks.layers((2, *sizes, 1), seed, spread)
    network = load_network(networks.write(tmp_path / "net.onnx", layers, encoding))
    try:
        model = quantize(network, BOARD, grid_pairs(*WINDOW))
    except UserError as error:
        assert "never fit the timer" in str(error)  # a random network may predict nothing but long pulses
        return
    generator = np.random.default_rng(seed)
    start, target = generator.integers(*WINDOW, size=(2, 500), endpoint=True)
    x = quantise_inputs(model.inputs, [start, target - start]).astype(np.int64)
    for layer, bounds in zip([layer.arrays() for layer in model.layers], model.accumulators, strict=True):
        acc = x @ layer.weights.T + layer.bias
        assert (bounds.lowest >= -INT32_MAX).all() and (bounds.highest <= INT32_MAX).all()
        assert (acc >= bounds.lowest).all() and (acc <= bounds.highest).all()
        if layer.shift is not None:
            x = np.clip((acc + (1 << (layer.shift - 1))) >> layer.shift, 0 if layer.relu else -32768, 32767)


def test_worst_case_weights_are_scaled_until_the_proof_holds(networks, tmp_path):
    layers = [(np.full((64, 2), 5.0), np.full(64, 9.0)), (np.full((1, 64), 0.02), np.array([-3.0]))]
    _, model = quantized(networks.write(tmp_path / "net.onnx", layers))
    assert (
        512 < max(model.layers[1].weights[0]) < 4096
    )  # 64 inputs of 14 to 15 bits leave 10 to 12 for weights
    assert model.accumulators[1].highest[0] > INT32_MAX // 4


def test_dead_and_constant_units_are_harmless(networks, tmp_path):
    layers = networks.layers((2, 8, 8, 1))
    layers[0][0][:3], layers[0][1][:3] = 0.0, [-1.0, 0.0, 0.5]
    layers[1][0][:, 4] = 0.0
    network, model = quantized(networks.write(tmp_path / "net.onnx", layers))
    report = precision_report(fold(network, BOARD), model, grid_pairs(*WINDOW))
    assert report["output_max_error_of_full_scale"] < 2e-4


def test_more_than_the_calibration_saw_saturates(networks, tmp_path):
    pairs = grid_pairs(300_000, 300_100)
    _, model = quantized(networks.write(tmp_path / "net.onnx", networks.layers(spread=3)), pairs)
    outputs = ReferencePredictor(model).activations(
        [np.array([94_450, 559_300]), np.array([464_850, -464_850])]
    )
    assert max(y.max() for y in outputs[:-1]) == 32767


def test_negative_scales_are_folded(networks, tmp_path):
    layers = networks.layers(seed=1)
    output = {"encoding": "linear_s", "offset": 2e-4, "scale": -1e-3}
    network, model = quantized(networks.write(tmp_path / "net.onnx", layers, output=output))
    start, target = np.array([100_000, 500_000]), np.array([300_000, 200_000])
    direction, ticks, _ = ReferencePredictor(model).predict(start, target)
    exact = network.output(start * 1e-9, target * 1e-9) * 1e8
    np.testing.assert_allclose(direction * ticks, exact, atol=30)


@pytest.mark.parametrize(
    ("section", "fields", "complaint"),
    [
        ("output", {"encoding": "linear_s", "offset": 0.0, "scale": 1e-12}, "never fit the timer"),
        ("output", {"encoding": "linear_s", "offset": 10.0, "scale": 1e-3}, "never fit the timer"),
        ("output", {"encoding": "log10_s", "offset": 400.0, "scale": 1.0}, "never fit the timer"),
        ("window", {"g_min_S": 1e-10, "g_max_S": 2e-10}, "unusable"),
        ("window", {"g_min_S": 9e-5, "g_max_S": 7e-4}, "reads up to 655360 nS"),
        ("pulse", {"v_set_V": -0.30, "v_reset_V": 0.7065}, "trained for SET at -0.3 V"),
        ("pulse", {"v_set_V": -0.342, "v_reset_V": 0.71}, "trained for RESET"),
    ],
)
def test_metadata_that_cannot_fit_the_board(networks, tmp_path, section, fields, complaint):
    path = networks.write(tmp_path / "net.onnx", **{section: fields})
    with pytest.raises(UserError, match=complaint):
        make_firmware(path, BOARD, tmp_path / "fw", None, False)
    assert not (tmp_path / "fw").exists()


def test_a_network_too_large_for_the_board(networks, tmp_path):
    path = networks.write(tmp_path / "net.onnx", networks.layers((2, 400, 400, 1)))
    with pytest.raises(UserError, match=r"too large for board 'generic'.*bytes of flash.*400 -> 400"):
        make_firmware(path, BOARD, tmp_path / "fw", None, False)


class TestCalibration:
    def write(self, path, start, target):
        with h5py.File(path, "w") as file:
            file["g_start_S"], file["g_target_S"] = start, target
        return path

    def test_data_set_pairs(self, tmp_path):
        start = np.linspace(9e-5, 5.5e-4, 50_000)
        pairs = dataset_pairs(self.write(tmp_path / "d.h5", start, start[::-1]), *WINDOW)
        assert 8_000 < len(pairs.g_start_nS) < 17_000
        assert pairs.source == "data set d.h5"
        for values in (pairs.g_start_nS, pairs.g_target_nS):
            assert values.min() >= WINDOW[0] and values.max() <= WINDOW[1]

    def test_quantises_on_a_data_set(self, networks, tmp_path):
        generator = np.random.default_rng(0)
        start, target = generator.uniform(9.5e-5, 5.5e-4, size=(2, 2000))
        data = self.write(tmp_path / "d.h5", start, target)
        made = make_firmware(networks.write(tmp_path / "net.onnx"), BOARD, tmp_path / "fw", data, False)
        assert made.report["calibration"] == "data set d.h5"
        assert made.report["output_max_error_of_full_scale"] < 5e-4

    def test_unusable_data_sets(self, tmp_path):
        with pytest.raises(UserError, match="no such file"):
            dataset_pairs(tmp_path / "none.h5", *WINDOW)
        path = self.write(tmp_path / "d.h5", np.full(5000, 1e-4), np.full(5000, 2e-4))
        (tmp_path / "cut.h5").write_bytes(path.read_bytes()[:3000])
        with pytest.raises(UserError, match="truncated"):
            dataset_pairs(tmp_path / "cut.h5", *WINDOW)
        for start, target, complaint in (
            ([1e-4, np.nan], [2e-4, 2e-4], "finite"),
            ([1e-4], [2e-4, 2e-4], "equally long"),
            ([1e-9], [2e-4], "no pair lies within"),
        ):
            with pytest.raises(UserError, match=complaint):
                dataset_pairs(self.write(tmp_path / "d.h5", start, target), *WINDOW)
