"""Co-simulation from a network file to the records: the C controller equals the integer reference exactly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from codegen.boards import load_board
from codegen.build import host_library
from codegen.controllers import ControllerBank
from codegen.cosim import cosimulate
from codegen.cosim_verbs import cosim, demo
from codegen.firmware import Firmware, make_firmware, predictor_name
from codegen.metadata import attach_metadata, metadata_from_dict
from codegen.reference import ReferencePredictor
from sim.closed_loop import draw_trials, one_shot, write_and_verify
from sim.errors import UserError
from sim.noise import load_preset

BOARD = load_board("generic")
NOISE = load_preset("ouroboros")


def write_random_network(path: Path, encoding: str, seed: int = 1) -> Path:
    """A small network with random weights whose pulses lie around 10 us."""
    generator = np.random.default_rng(seed)
    nodes, initialisers, value = [], [], "x"
    for i, (columns, rows) in enumerate([(2, 8), (8, 8), (8, 1)]):
        weights = generator.normal(scale=columns**-0.5, size=(rows, columns)).astype(np.float32)
        bias = generator.normal(scale=0.1, size=rows).astype(np.float32)
        initialisers += [numpy_helper.from_array(weights, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        output = "y" if rows == 1 else f"h{i}"
        nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], [output], transB=1))
        value = output
        if rows > 1:
            nodes.append(helper.make_node("Relu", [output], [f"r{i}"]))
            value = f"r{i}"
    info = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", k]) for name, k in (("x", 2), ("y", 1))
    ]
    graph = helper.make_graph(nodes, "random", info[:1], info[1:], initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    linear = encoding == "linear_s"
    attach_metadata(
        model,
        metadata_from_dict(
            {
                "schema": 1,
                "inputs": [
                    {"name": "g_start_S", "offset": 0.0, "scale": 5.6e-4},
                    {"name": "delta_g_S", "offset": 0.0, "scale": 5.6e-4},
                ],
                "output": {
                    "encoding": encoding,
                    "offset": 0.0 if linear else -5.0,
                    "scale": 1e-4 if linear else 2.0,
                },
                "window": {"g_min_S": 9.445e-5, "g_max_S": 5.594e-4},
                "pulse": {"v_set_V": -0.342, "v_reset_V": 0.7065},
                "trained_on": {
                    "device_model": "jart-fit",
                    "noise_preset": "ouroboros",
                    "cadence_s": 1e-8,
                    "seed": 1,
                },
            }
        ),
    )
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module", params=["linear_s", "log10_s"])
def firmware(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    folder = tmp_path_factory.mktemp("cosim")
    network = write_random_network(folder / "random.onnx", request.param)
    return make_firmware(network, BOARD, folder / "random", None, force=False)


def test_one_shot_of_the_c_equals_the_reference(firmware: Firmware) -> None:
    trials = draw_trials(2000, NOISE, seed=11)
    params = BOARD.bench_params()
    run = ControllerBank(host_library(firmware.folder)).one_shot(trials.bench(params), trials.g_target_nS)
    expected = one_shot(trials.bench(params), ReferencePredictor(firmware.model), trials.g_target_nS)
    for field in ("g_read_nS", "direction", "ticks", "g_end_S"):
        np.testing.assert_array_equal(getattr(run.trace, field), getattr(expected, field), err_msg=field)
    assert run.unsafe == 0
    assert len(np.unique(run.trace.ticks)) > 100


def test_write_and_verify_of_the_c_equals_the_reference(firmware: Firmware) -> None:
    trials = draw_trials(100, NOISE, seed=12)
    params = BOARD.bench_params()
    bank = ControllerBank(host_library(firmware.folder))
    run = bank.write_and_verify(trials.bench(params), trials.g_target_nS, 20)
    predictor = ReferencePredictor(firmware.model)
    expected = write_and_verify(trials.bench(params), predictor, trials.g_target_nS, 20)
    for field in ("g_read_nS", "direction", "ticks", "g_end_S"):
        np.testing.assert_array_equal(getattr(run.trace, field), getattr(expected, field), err_msg=field)
    assert run.unsafe == 0


def test_the_verb_writes_both_records_of_network_and_folder(firmware: Firmware, tmp_path: Path) -> None:
    network = write_random_network(tmp_path / "other.onnx", "log10_s", seed=2)
    arguments = [str(network), str(firmware.folder), "--trials", "400", "--seed", "3"]
    texts = []
    for name in ("first.json", "second.json"):
        done = CliRunner().invoke(cosim, [*arguments, "-o", str(tmp_path / name)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]
    records = json.loads(texts[0])["records"]
    assert [(r["predictor"], r["realisation"]) for r in records] == [
        ("other", "reference"),
        ("other", "c"),
        ("random", "reference"),
        ("random", "c"),
    ]
    for reference, c in zip(records[::2], records[1::2], strict=True):
        assert {**reference, "realisation": ""} == {**c, "realisation": ""}
    assert records[0]["trials"] == 400 and records[0]["noise_preset"] == "ouroboros"


def test_the_demo_verb(firmware: Firmware, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        demo, [str(firmware.folder), "-o", str(tmp_path / "out")], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    assert len(json.loads((tmp_path / "out" / "convergence.json").read_text())["targets"]) == 3


def test_sources_that_cannot_be_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two sources are named 'a'"):
        cosimulate([tmp_path / "a.onnx", tmp_path / "a"], BOARD, NOISE, 1, 10)


def test_a_firmware_of_another_board(firmware: Firmware) -> None:
    with pytest.raises(UserError, match="another board"):
        cosimulate([firmware.folder], load_board("openmena"), NOISE, 1, 10)


def test_nothing_is_written_for_bad_input(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_text("no network")
    output = tmp_path / "out.json"
    done = CliRunner().invoke(cosim, [str(tmp_path / "bad.onnx"), "-o", str(output)])
    assert isinstance(done.exception, UserError)
    assert list(tmp_path.iterdir()) == [tmp_path / "bad.onnx"]


def test_names() -> None:
    assert predictor_name(Path("build/networks/ft_smoothed.onnx")) == "ft_smoothed"
    assert predictor_name(Path("build/firmware/generic")) == "generic"
