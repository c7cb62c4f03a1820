"""From a trained network (ONNX) to verified fixed-point C; never imports torch."""

VERSION = "0.1.0"  # stated in everything that is generated
