"""Measures on a phone over adb, with TFLite's benchmark_model that the user supplies."""
