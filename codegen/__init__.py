"""From a trained network (ONNX) to verified fixed-point C; never imports torch."""
