"""Re-states a model in another framework: torch, ONNX, Keras, TFLite. Its numbers never change here."""
