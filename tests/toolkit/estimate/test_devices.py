"""Devices by name."""

import pytest

from toolkit.errors import DeviceError
from toolkit.estimate.devices import device_names, find_device, measured_as


@pytest.mark.parametrize("name", ["snapdragon-7-gen-3", "Snapdragon 7 Gen 3", "SM7550-AB", "snapdragon_7_gen_3"])
def test_a_device_is_found_by_id_part_and_name(name):
    assert find_device(name).name == "Qualcomm Snapdragon 7 Gen 3"


def test_peak_of_the_four_fastest_cores():
    assert find_device("snapdragon-7-gen-3").cpu_gmacs == pytest.approx((2.63 + 3 * 2.4) * 16 / 2)


def test_unknown_device_names_the_nearest():
    with pytest.raises(DeviceError, match="snapdragon-8-gen") as caught:
        find_device("snapdragon-8-gen-9")
    assert caught.value.code == "device/unknown"


def test_every_figure_has_a_source_and_every_measured_device_is_known():
    for name in device_names():
        device = find_device(name)
        assert device.sources
        assert device.npu is None or device.npu.tops_source
    for name in measured_as().values():
        assert find_device(name).npu is not None


def test_the_npu_of_the_seven_series_computes_no_floats():
    npu = find_device("snapdragon-7-gen-3").npu
    assert npu is not None and not npu.float16
