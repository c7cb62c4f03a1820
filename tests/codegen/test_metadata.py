import json
import math

import onnx
import pytest

from codegen.metadata import attach_metadata, metadata_from_dict, parse_metadata, read_metadata
from sim.errors import UserError


def spoil(fields, path, value):
    """Set a nested field; None deletes it."""
    *parents, last = path
    for key in parents:
        fields = fields[key]
    if value is None:
        del fields[last]
    else:
        fields[last] = value


def test_survives_the_file(networks):
    metadata = metadata_from_dict(networks.metadata())
    model = onnx.ModelProto()
    model.metadata_props.add(key="author", value="someone")
    attach_metadata(model, metadata)
    attach_metadata(model, metadata)
    assert read_metadata(onnx.load_model_from_string(model.SerializeToString())) == metadata
    assert [entry.key for entry in model.metadata_props] == ["author", "ouroboros"]


def test_json_is_the_documented_layout(networks):
    fields = networks.metadata()
    assert json.loads(metadata_from_dict(fields).to_json()) == fields


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (["schema"], 2, "schema"),
        (["schema"], None, "schema"),
        (["extra"], 1, "extra"),
        (["inputs", 0, "scale"], 0.0, "scale must not be 0"),
        (["inputs", 1, "offset"], math.nan, "finite"),
        (["inputs", 0, "name"], "g_S", "inputs.0.name"),
        (["inputs", 1, "name"], "g_start_S", "in this order"),
        (["output", "scale"], math.inf, "finite"),
        (["output", "scale"], "1", "number"),
        (["output", "encoding"], "ln_s", "linear_s"),
        (["window", "g_min_S"], 6e-4, "below g_max_S"),
        (["window", "g_min_S"], -1e-5, "greater than 0"),
        (["pulse", "v_set_V"], 0.342, "less than 0"),
        (["pulse", "v_reset_V"], -0.7, "greater than 0"),
        (["pulse"], None, "pulse"),
        (["trained_on", "cadence_s"], 0.0, "greater than 0"),
        (["trained_on", "seed"], 1.5, "seed"),
    ],
)
def test_refuses_what_cannot_be_meant(networks, path, value, complaint):
    fields = networks.metadata()
    spoil(fields, path, value)
    with pytest.raises(UserError, match=complaint) as caught:
        metadata_from_dict(fields)
    assert "\n" not in str(caught.value)


def test_refuses_missing_repeated_and_garbled_entries(networks):
    model = onnx.ModelProto()
    with pytest.raises(UserError, match="no metadata entry 'ouroboros'"):
        read_metadata(model, "net.onnx")
    for _ in range(2):
        model.metadata_props.add(key="ouroboros", value="{}")
    with pytest.raises(UserError, match="there must be one"):
        read_metadata(model)
    with pytest.raises(UserError, match="Invalid JSON"):
        parse_metadata("{")
