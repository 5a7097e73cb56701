"""Where each operator of a .tflite file runs on a phone: NNAPI, GPU and XNNPACK, decided statically."""
