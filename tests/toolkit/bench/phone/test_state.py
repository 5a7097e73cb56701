"""What a phone says about itself, as phones say it and damaged."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toolkit.bench.phone.fake_phone import BATTERY, PROPERTIES, thermal
from tests.toolkit.bench.phone.test_outputs import mutated, mutations
from toolkit.bench.phone.identity import parse_properties
from toolkit.bench.phone.state import objections, parse_battery, parse_clocks, parse_saver, parse_thermal, remarks
from toolkit.results import PhoneState

CLOCKS = "policy0 walt 1804800\npolicy4 schedutil 2400000\n"
STEADY = PhoneState(thermal_status=0, governors={"policy0": "walt"}, max_khz={"policy0": 1000}, charging=True)


def test_current_temperatures_and_no_limits_of_the_battery():
    found = parse_thermal(thermal(3, 80.25))
    assert found == {"thermal_status": 3, "temperatures_c": {"CPU0": 80.25, "skin": 31.25}}


def test_clocks_battery_and_saver():
    assert parse_clocks(CLOCKS)["governors"] == {"policy0": "walt", "policy4": "schedutil"}
    assert parse_battery(BATTERY) == {"battery_percent": 82.0, "battery_c": 29.5, "charging": True}
    assert [parse_saver(word)["battery_saver"] for word in ("0\n", "1\n", "null\n")] == [False, True, False]


@pytest.mark.parametrize(
    "parse,text",
    [
        (parse_thermal, ""),
        (parse_thermal, "Can't find service: thermalservice"),
        (parse_thermal, "Thermal Status: 9"),
        (parse_clocks, ""),
        (parse_clocks, "policy*  \n"),
        (parse_clocks, "policy0 walt \n"),  # the clock may not be read
        (parse_clocks, "policy0 walt 1\npolicy4  \n"),  # one of two is not enough
        (parse_battery, "level: 82"),
        (parse_battery, BATTERY.replace("scale: 100", "scale: 0")),
        (parse_saver, "Failure calling service settings"),
    ],
)
def test_what_does_not_say_it_is_no_state(parse, text):
    with pytest.raises(ValueError):
        parse(text)


@settings(max_examples=300, deadline=None)
@given(mutations, st.sampled_from([(parse_thermal, thermal(1)), (parse_clocks, CLOCKS), (parse_battery, BATTERY)]))
def test_mutated_state_is_refused_or_makes_a_state(steps, which):
    parse, text = which
    try:
        PhoneState(**parse(mutated(text.encode(), steps).decode("utf-8", "replace")))
    except ValueError as error:
        assert str(error)


@given(st.text())
def test_any_text_has_properties_or_none(text):
    assert isinstance(parse_properties(text), dict)
    written = "\n".join(f"[{name}]: [{value}]" for name, value in PROPERTIES.items())
    assert parse_properties(written + "\n" + text.replace("[", "")) == PROPERTIES


def test_steady_phone_has_no_objection_and_each_change_has_one():
    assert objections(STEADY, STEADY) == () and remarks(STEADY, STEADY) == ()
    for change, words in (
        ({"thermal_status": 1}, "light after"),
        ({"governors": {"policy0": "powersave"}}, "from walt to powersave"),
        ({"max_khz": {"policy0": 900}}, "highest clock"),
        ({"governors": {"policy0": "walt", "policy7": "walt"}}, "policy7 was there only once"),
        ({"battery_saver": True}, "battery saver on after"),
    ):
        (reason,) = objections(STEADY, STEADY.model_copy(update=change))
        assert words in reason
    assert "charger" in remarks(STEADY, STEADY.model_copy(update={"charging": False}))[0]
    blind = PhoneState(unreadable={"thermal state": "no service"})
    assert objections(blind, blind) == () and "is not known" in remarks(blind, blind)[0]
