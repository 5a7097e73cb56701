"""The GPU placement against LiteRT's real GPU accelerator on a software Vulkan device, where one is installed.

Ninety one-operator files were compared by hand this way, and all ninety agreed; these are the ones that tell most.
"""

import os
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import pytest

from tests.toolkit.delegates.small_graphs import convert, weights
from toolkit.delegates.place import place

DRIVERS = [
    Path(p) for p in ("/usr/lib/chromium/vk_swiftshader_icd.json", "/usr/share/vulkan/icd.d/vk_swiftshader_icd.json")
]
DRIVER = next((p for p in DRIVERS if p.exists()), None)
needs_driver = pytest.mark.skipif(
    DRIVER is None or find_library("vulkan") is None,
    reason="no software Vulkan driver or no loader for it (Debian: chromium-common and libvulkan1)",
)

CHILD = """
import sys
from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, HardwareAccelerator, Options
try:
    CompiledModel.from_file(sys.argv[1], options=Options(hardware_accelerators=HardwareAccelerator.GPU,
                                                         gpu_options=GpuOptions(enforce_f32=True)))
    sys.stdout.write("VERDICT accepted")
except Exception as error:
    sys.stdout.write("VERDICT refused " + type(error).__name__)
"""


def tf():
    from converters import frameworks

    return frameworks.tensorflow()


CASES = {
    "convolution": (lambda x: tf().nn.conv2d(x, weights(3, 3, 8, 8), 1, "SAME"), True),
    "max pool": (lambda x: tf().nn.max_pool2d(x, 2, 2, "SAME"), True),
    "flip": (lambda x: tf().reverse(x, [3]), True),
    "slice that drops an axis": (lambda x: x[:, 0], False),
    "rank 5": (lambda x: tf().reshape(x, [1, 2, 2, 8, 8]), False),
    "log softmax": (lambda x: tf().nn.log_softmax(x), False),
    "a minus a": (lambda x: x - x, False),
}


@needs_driver
@pytest.mark.parametrize("name", CASES)
def test_placement_equals_the_accelerators(name, tmp_path):
    function, _ = CASES[name]
    model = convert(function, (1, 4, 8, 8))
    path = tmp_path / "model.tflite"
    path.write_bytes(model)
    environment = {**os.environ, "VK_ICD_FILENAMES": str(DRIVER), "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)], env=environment, capture_output=True, text=True, timeout=120
    )
    if "VERDICT" not in done.stdout:
        pytest.skip(f"the accelerator did not start: {done.stderr.strip().splitlines()[-1:]}")
    accepted = "VERDICT accepted" in done.stdout
    assert accepted is place(model, "p", "gpu_litert").fully_delegated


@pytest.mark.parametrize("name", CASES)
def test_placement_is_what_the_accelerator_answered_when_last_asked(name):
    function, expected = CASES[name]
    assert place(convert(function, (1, 4, 8, 8)), "p", "gpu_litert").fully_delegated is expected
