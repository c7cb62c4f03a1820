import copy
import json

import pytest

from codegen.boards import load_board
from codegen.calibration import grid_pairs
from codegen.kernels import PORTABLE, table_bytes
from codegen.onnx_import import load_network
from codegen.qmodel import QuantizedModel
from codegen.quantize import quantize
from sim.errors import UserError


@pytest.fixture(scope="module")
def model(networks, tmp_path_factory):
    path = networks.write(tmp_path_factory.mktemp("net") / "net.onnx", networks.layers((2, 6, 5, 1)))
    return quantize(load_network(path), load_board("generic"), grid_pairs(94_450, 559_300))


def test_json_round_trip_is_exact_and_stable(model):
    text = model.to_json()
    again = QuantizedModel.from_json(text)
    assert again == model
    assert again.to_json() == text
    assert max(map(len, text.splitlines())) < 120


def test_is_immutable(model):
    with pytest.raises(Exception, match="frozen"):
        model.max_ticks = 5


def test_describes_itself(model):
    assert model.topology == "2-6-5-1"
    assert model.buffer_length == 6
    assert table_bytes(model, PORTABLE) == 2 * (12 + 30 + 5) + 4 * 12 + 11


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (["schema"], 2, "schema"),
        (["layers", 0, "weights", 0, 0], 32768, "weights"),
        (["layers", 0, "weights", 0, 0], 1.0, "weights"),
        (["layers", 0, "weight_bits"], 8, "must fit 8 bits"),
        (["layers", 0, "weight_bits"], 10, "weight_bits"),
        (["layers", 0, "weights", 0], [1], "must be a matrix"),
        (["layers", 0, "bias"], [1], "one entry per row"),
        (["layers", 1, "bias", 0], 2**31 - 1, "layer 2, row 0: the accumulator can overflow"),
        (["layers", 0, "accumulator_bits", 0], 150, "must be 1 .. 30"),
        (["layers", 2, "relu"], True, "must not have a ReLU"),
        (["layers", 0, "output_bits"], None, "exactly the last layer"),
        (["layers"], [], "2 inputs to one output"),
        (["inputs", 0, "shift"], 0, "shift"),
        (["inputs", 0, "offset"], -(2**31) + 1, "can overflow int32"),
        (["inputs", 1, "lowest"], -5, "window's span"),
        (["g_min_nS"], 94_451, "g_start_S over the window"),
        (["min_ticks"], 2_000_000, "must be ordered"),
        (["decode", "multiplier"], 2**31, "multiplier"),
        (["decode", "shift"], 63, "shift"),
        (["note"], "x", "Extra inputs"),
    ],
)
def test_refuses_unsound_models(model, path, value, complaint):
    fields = json.loads(model.to_json())
    spoilt = copy.deepcopy(fields)
    *parents, last = path
    part = spoilt
    for key in parents:
        part = part[key]
    part[last] = value
    with pytest.raises(UserError, match=complaint) as caught:
        QuantizedModel.from_json(json.dumps(spoilt), "model.json")
    assert "\n" not in str(caught.value)
