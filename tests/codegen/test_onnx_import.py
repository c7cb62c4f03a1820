import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from codegen.metadata import attach_metadata, metadata_from_dict
from codegen.onnx_import import load_network
from sim.errors import UserError


def save(tmp_path, model):
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def expected_output(layers, x):
    for i, (weights, bias) in enumerate(layers):
        x = x @ np.float32(weights).astype(float).T + np.float32(bias).astype(float)
        if i < len(layers) - 1:
            x = np.maximum(x, 0)
    return x


def run(network, x):
    for layer in network.layers:
        x = layer.evaluate(x)
    return x


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(50, 2))


def test_evaluates_gemm_chains_in_float64(networks, tmp_path, x):
    layers = networks.layers()
    network = load_network(networks.write(tmp_path / "net.onnx", layers))
    np.testing.assert_allclose(run(network, x), expected_output(layers, x), rtol=1e-12)
    assert [layer.relu for layer in network.layers] == [True, True, True, False]


def test_scales_inputs_and_output_as_the_metadata_says(networks, tmp_path):
    layers = networks.layers()
    output = {"encoding": "log10_s", "offset": -5.0, "scale": 4.0}
    inputs = [
        {"name": "g_start_S", "offset": 1e-4, "scale": 5e-4},
        {"name": "delta_g_S", "offset": -2e-4, "scale": 3e-4},
    ]
    network = load_network(networks.write(tmp_path / "net.onnx", layers, inputs=inputs, output=output))
    start, target = np.array([1e-4, 5e-4]), np.array([4e-4, 2e-4])
    x = np.stack([(start - 1e-4) / 5e-4, (target - start + 2e-4) / 3e-4], axis=1)
    y = expected_output(layers, x)[:, 0]
    np.testing.assert_allclose(network.output(start, target), -5.0 + 4.0 * y)
    np.testing.assert_allclose(network.width_s(start, target), 10 ** (-5.0 + 4.0 * y))


def test_matmul_add_and_gemm_attributes_mean_the_same(networks, tmp_path, x):
    layers = networks.layers((2, 5, 4, 1))
    (w0, b0), (w1, b1), (w2, b2) = [(np.float32(w), np.float32(b)) for w, b in layers]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["m0"]),
        helper.make_node("Add", ["b0", "m0"], ["h0"]),
        helper.make_node("Relu", ["h0"], ["r0"]),
        helper.make_node("Gemm", ["r0", "w1", "b1"], ["h1"], alpha=0.5, beta=2.0),
        helper.make_node("Relu", ["h1"], ["r1"]),
        helper.make_node("MatMul", ["r1", "w2"], ["m2"]),
        helper.make_node("Add", ["m2", "b2"], ["y"]),
    ]
    model = networks.model(layers, networks.metadata(), nodes)
    del model.graph.initializer[:]
    for name, values in (
        ("w0", w0.T),
        ("b0", b0[None]),
        ("w1", 2 * w1.T),
        ("b1", b1 / 2),
        ("w2", w2.T),
        ("b2", b2),
    ):
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    np.testing.assert_allclose(
        run(load_network(save(tmp_path, model)), x), expected_output(layers, x), rtol=1e-12
    )


def test_consecutive_affine_layers_without_relu(networks, tmp_path, x):
    layers = networks.layers((2, 5, 1))
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["h0"], transB=1),
        helper.make_node("Gemm", ["h0", "w1"], ["y"], transB=1),
    ]
    network = load_network(save(tmp_path, networks.model(layers, networks.metadata(), nodes)))
    (w0, b0), (w1, _) = layers
    expected = (x @ np.float32(w0).T.astype(float) + np.float32(b0)) @ np.float32(w1).T.astype(float)
    np.testing.assert_allclose(run(network, x), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "cannot read network"), (b"", "holds no graph"), (b"not a model at all", "not an ONNX file")],
)
def test_unreadable_files(tmp_path, content, complaint):
    path = tmp_path / "net.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        load_network(path)


def test_truncated_files_never_pass(networks, tmp_path):
    whole = networks.write(tmp_path / "net.onnx").read_bytes()
    for length in range(1, len(whole), 997):
        (tmp_path / "cut.onnx").write_bytes(whole[:length])
        with pytest.raises(UserError):
            load_network(tmp_path / "cut.onnx")


def gemm(value, i, output, **attributes):
    return helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], [output], **{"transB": 1, **attributes})


@pytest.mark.parametrize(
    ("nodes", "complaint"),
    [
        (
            [gemm("x", 0, "h"), helper.make_node("Sigmoid", ["h"], ["s"]), gemm("s", 1, "y")],
            "operator Sigmoid",
        ),
        (
            [gemm("x", 0, "h"), helper.make_node("Relu", ["h"], ["s"], domain="my"), gemm("s", 1, "y")],
            "my.Relu",
        ),
        (
            [helper.make_node("Relu", ["x"], ["h"]), gemm("h", 0, "a"), gemm("a", 1, "y")],
            "Relu on the network's",
        ),
        ([gemm("x", 0, "h"), gemm("h", 1, "a"), helper.make_node("Relu", ["a"], ["y"])], "not Relu"),
        ([gemm("x", 0, "h", transA=1), gemm("h", 1, "y")], "transA"),
        ([gemm("x", 0, "h"), gemm("h", 1, "y"), gemm("h", 1, "z")], "not one chain"),
        ([gemm("x", 0, "h"), gemm("h", 1, "y"), gemm("q", 1, "z")], "not one chain"),
        ([gemm("x", 0, "h"), helper.make_node("Add", ["h", "h"], ["a"]), gemm("a", 1, "y")], "not one chain"),
        ([gemm("x", 0, "h"), gemm("h", 1, "z")], "feeds 0 operators"),
        ([helper.make_node("MatMul", ["w0", "x"], ["h"]), gemm("h", 1, "y")], "weights \\(right\\)"),
        ([helper.make_node("Gemm", ["x", "w9", "b0"], ["h"]), gemm("h", 1, "y")], "not a stored constant"),
        ([gemm("x", 1, "h"), gemm("h", 0, "y")], "layer 1 takes 5 values where 2 arrive"),
        ([gemm("x", 0, "y")], "has 5 outputs"),
        ([gemm("x", 0, "h"), gemm("h", 1, "h")], "cycle|not one chain"),
        ([helper.make_node("Gemm", ["x", "w0", "b1"], ["h"], transB=1), gemm("h", 1, "y")], None),
        (
            [helper.make_node("Gemm", ["x", "w1", "b0"], ["h"], transB=1), gemm("h", 1, "y")],
            "has shape \\(5,\\)",
        ),
    ],
)
def test_graphs_that_are_no_supported_chain(networks, tmp_path, nodes, complaint):
    path = save(tmp_path, networks.model(networks.layers((2, 5, 1)), networks.metadata(), nodes))
    if complaint is None:  # a scalar bias is broadcast
        load_network(path)
        return
    with pytest.raises(UserError, match=complaint) as caught:
        load_network(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", [0, 1])
def test_weights_that_are_no_numbers(networks, tmp_path, value, where):
    layers = networks.layers()
    layers[1][where].flat[3] = value
    with pytest.raises(UserError, match="NaN or infinite"):
        load_network(networks.write(tmp_path / "net.onnx", layers))


def test_stored_elsewhere_integer_and_damaged_weights(networks, tmp_path):
    model = networks.model(networks.layers(), networks.metadata())
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    with pytest.raises(UserError, match="outside the file"):
        load_network(save(tmp_path, model))

    model = networks.model(networks.layers(), networks.metadata())
    model.graph.initializer[0].data_type = onnx.TensorProto.INT32
    with pytest.raises(UserError, match="INT32"):
        load_network(save(tmp_path, model))

    model = networks.model(networks.layers(), networks.metadata())
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-2]
    with pytest.raises(UserError, match="damaged"):
        load_network(save(tmp_path, model))


def test_inputs_outputs_and_sizes(networks, tmp_path):
    model = networks.model(networks.layers((3, 4, 1)), networks.metadata())
    with pytest.raises(UserError, match=r"'x' must have shape \(N, 2\), not \(N, 3\)"):
        load_network(save(tmp_path, model))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2
    with pytest.raises(UserError, match="layer 1 takes 3 values where 2 arrive"):
        load_network(save(tmp_path, model))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    with pytest.raises(UserError, match="must have shape"):
        load_network(save(tmp_path, model))
    model = networks.model(networks.layers((2, 4097, 1)), networks.metadata())
    with pytest.raises(UserError, match="at most 4096"):
        load_network(save(tmp_path, model))
    model = networks.model(networks.layers((2, *[2] * 64, 1)), networks.metadata())
    with pytest.raises(UserError, match="65 layers"):
        load_network(save(tmp_path, model))
    model = networks.model(networks.layers(), networks.metadata())
    model.graph.output.append(model.graph.output[0])
    with pytest.raises(UserError, match="one input and one output"):
        load_network(save(tmp_path, model))


def test_metadata_is_required(networks, tmp_path):
    model = networks.model(networks.layers())
    with pytest.raises(UserError, match="no metadata entry"):
        load_network(save(tmp_path, model))
    attach_metadata(model, metadata_from_dict(networks.metadata()))
    load_network(save(tmp_path, model))
