"""Every outcome on faultless hardware; the `rig` fixture checks the safety rules after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, repeat
from typing import Any

import pytest

START_nS = 150_400


def readings(first: Iterable[int], then: int) -> Callable[[], int]:
    """ADC codes of `first` conductances, then `then` for ever [nS]."""
    codes = (g_nS // 160 for g_nS in chain(first, repeat(then)))
    return lambda: next(codes)


def test_one_shot_is_one_read_and_one_pulse(rig: Any) -> None:
    rig.script("OK", -1, 1234)
    assert rig.start() == "BUSY"
    assert rig.run(readings([START_nS], 0)) == "OK"
    assert rig.pulses == [(rig.V_RESET_uV, 1234)]
    result = rig.result()
    assert (result["iterations"], result["pulses"]) == (1, 1)
    assert (result["g_start_nS"], result["g_last_nS"]) == (START_nS, START_nS)
    assert (result["direction"], result["last_ticks"], result["total_ticks"]) == (-1, 1234, 1234)


def test_set_pulses_are_negative(rig: Any) -> None:
    rig.start()
    assert rig.run(readings([], START_nS)) == "OK"
    assert rig.pulses == [(rig.V_SET_uV, 1000)]


def test_no_pulse_needed(rig: Any) -> None:
    rig.script("NO_PULSE_NEEDED", 0, 0)
    rig.start()
    assert rig.run(readings([], START_nS)) == "NO_PULSE_NEEDED"
    assert rig.pulses == []


def test_the_outcome_is_reported_again_until_the_next_start(rig: Any) -> None:
    assert rig.step() == "IDLE"
    rig.start()
    assert rig.run(readings([], START_nS)) == "OK"
    assert [rig.step(), rig.step()] == ["OK", "OK"]
    assert rig.abort() == "OK"
    assert rig.start() == "BUSY"
    assert rig.result()["g_start_nS"] == -1
    assert rig.run(readings([], START_nS)) == "OK"
    assert rig.init() == "IDLE"


@pytest.mark.parametrize("tolerance", [{"tolerance_nS": 4000}, {"tolerance_permille": 20}])
def test_write_and_verify_stops_within_tolerance(rig: Any, tolerance: dict[str, int]) -> None:
    rig.start(rig.WRITE_VERIFY, **tolerance)
    assert rig.run(readings([START_nS, 190_000, 215_500, 216_160], 0)) == "CONVERGED"
    result = rig.result()
    assert (result["iterations"], result["pulses"]) == (3, 3)
    assert (result["g_start_nS"], result["g_last_nS"]) == (START_nS, 216_160)
    assert result["total_ticks"] == 3000


def test_either_tolerance_suffices(rig: Any) -> None:
    rig.start(rig.WRITE_VERIFY, tolerance_nS=1, tolerance_permille=100)
    assert rig.run(readings([], 200_000)) == "CONVERGED"
    assert rig.result()["pulses"] == 0


def test_tolerance_limits_are_inclusive(rig: Any) -> None:
    rig.start(rig.WRITE_VERIFY, target_nS=220_000, tolerance_nS=4_000)
    assert rig.run(readings([215_840], 216_000)) == "CONVERGED"
    assert rig.result()["pulses"] == 1


def test_per_mille_limits_are_inclusive(rig: Any) -> None:
    rig.start(rig.WRITE_VERIFY, target_nS=200_000, tolerance_permille=20)
    assert rig.run(readings([204_160], 204_000)) == "CONVERGED"
    assert rig.result()["pulses"] == 1


def test_not_converged_after_the_last_iteration(rig: Any) -> None:
    rig.start(rig.WRITE_VERIFY, tolerance_nS=10, max_iterations=3)
    assert rig.run(readings([], START_nS)) == "ERR_NOT_CONVERGED"
    assert (rig.result()["iterations"], rig.result()["pulses"]) == (3, 3)


def test_zero_tolerance_gives_every_iteration_even_on_target(rig: Any) -> None:
    rig.start(rig.WRITE_VERIFY, max_iterations=20)
    assert rig.run(readings([], 220_000)) == "OK"
    assert rig.result()["pulses"] == 20


def test_a_pulse_that_promises_nothing_is_given_and_told(rig: Any) -> None:
    rig.script("NOT_PROMISED")
    rig.start(wish_permille=50)
    assert rig.run(readings([], START_nS)) == "NOT_PROMISED"
    assert rig.step() == "NOT_PROMISED" and rig.result()["pulses"] == 1


def test_what_was_not_promised_matters_where_no_reading_decides(rig: Any) -> None:
    rig.script("NOT_PROMISED")
    rig.start(rig.WRITE_VERIFY, max_iterations=2, wish_permille=50)
    assert rig.run(readings([], START_nS), until="pulse") == "BUSY"
    rig.script("OK")
    rig.serve_pulse(1000)
    assert rig.run(readings([], START_nS)) == "NOT_PROMISED" and rig.result()["pulses"] == 2
    rig.script("NOT_PROMISED")
    rig.start(rig.WRITE_VERIFY, tolerance_nS=4000, wish_permille=50)
    assert rig.run(readings([215_840], 216_000)) == "CONVERGED"
    rig.script("OK")
    rig.start(wish_permille=50)
    assert rig.run(readings([], START_nS)) == "OK"


def test_iterations_without_a_pulse_count(rig: Any) -> None:
    rig.script("NO_PULSE_NEEDED", 0, 0)
    rig.start(rig.WRITE_VERIFY, tolerance_nS=10, max_iterations=4, stuck_pulses=1)
    assert rig.run(readings([], START_nS)) == "ERR_NOT_CONVERGED"
    assert (rig.result()["iterations"], rig.result()["pulses"]) == (4, 0)


def test_stuck_after_consecutive_pulses_without_effect(rig: Any) -> None:
    rig.start(rig.WRITE_VERIFY, tolerance_nS=10, max_iterations=20, stuck_pulses=3, stuck_move_nS=1000)
    moved_once = [START_nS, START_nS + 480, START_nS + 960, START_nS + 2080]
    assert rig.run(readings(moved_once, START_nS + 2400)) == "ERR_STUCK"
    assert rig.result()["pulses"] == 6  # two without effect, one with, three without


def test_moving_the_wrong_way_is_being_stuck(rig: Any) -> None:
    rig.start(rig.WRITE_VERIFY, tolerance_nS=10, stuck_pulses=2, stuck_move_nS=1000)
    assert rig.run(readings([200_000, 190_000, 180_000], 0)) == "ERR_STUCK"


def test_moving_by_just_the_limit_is_not_being_stuck(rig: Any) -> None:
    rig.start(rig.WRITE_VERIFY, tolerance_nS=10, max_iterations=4, stuck_pulses=1, stuck_move_nS=960)
    steady = [START_nS + k * 960 for k in range(5)]
    assert rig.run(readings(steady, 0)) == "ERR_NOT_CONVERGED"


def test_small_corrections_say_nothing_about_being_stuck(rig: Any) -> None:
    rig.start(rig.WRITE_VERIFY, tolerance_nS=10, max_iterations=6, stuck_pulses=2, stuck_move_nS=1000)
    assert rig.run(readings([], 220_000 - 1920)) == "ERR_NOT_CONVERGED"


def test_a_stuck_count_ends_with_its_program(rig: Any) -> None:
    for _ in range(2):
        rig.start(rig.WRITE_VERIFY, tolerance_nS=10, max_iterations=2, stuck_pulses=3)
        assert rig.run(readings([], START_nS)) == "ERR_NOT_CONVERGED"


@pytest.mark.parametrize("adc_code", [0, 4095])
def test_saturated_reads_end_the_program(rig: Any, adc_code: int) -> None:
    rig.start(rig.WRITE_VERIFY, tolerance_nS=10)
    assert rig.run(readings([START_nS], adc_code * 160)) == "ERR_READ_SATURATED"
    assert rig.result()["pulses"] == 1


@pytest.mark.parametrize(
    ("request_fields", "status"),
    [
        ({"mode": 2}, "ERR_ARGUMENT"),
        ({"mode": -1}, "ERR_ARGUMENT"),
        ({"tolerance_nS": -1}, "ERR_ARGUMENT"),
        ({"tolerance_permille": 1001}, "ERR_ARGUMENT"),
        ({"max_iterations": 0}, "ERR_ARGUMENT"),
        ({"max_iterations": 21}, "ERR_ARGUMENT"),
        ({"stuck_move_nS": -1}, "ERR_ARGUMENT"),
        ({"stuck_move_nS": 559_301}, "ERR_ARGUMENT"),
        ({"budget_ticks": 1}, "ERR_ARGUMENT"),
        ({"budget_ticks": 0}, "ERR_ARGUMENT"),
        ({"wish_permille": 1001}, "ERR_ARGUMENT"),
        ({"target_nS": 94_449}, "ERR_TARGET_RANGE"),
        ({"target_nS": 559_301}, "ERR_TARGET_RANGE"),
        ({"target_nS": -(2**31)}, "ERR_TARGET_RANGE"),
    ],
)
def test_bad_requests_are_refused(rig: Any, request_fields: dict[str, int], status: str) -> None:
    assert rig.start(**request_fields) == status
    assert rig.step() == status
    assert rig.pulses == []


def test_the_predictor_may_refuse(rig: Any) -> None:
    rig.script("ERR_TARGET_RANGE", 0, 0)
    rig.start()
    assert rig.run(readings([], START_nS)) == "ERR_TARGET_RANGE"
    assert rig.pulses == []


def test_null_pointers(rig: Any) -> None:
    assert rig.lib.rig_null_calls() == 0xFF
    assert rig.names[rig.lib.rig_start_null(rig.lockstep, 0)] == "ERR_NULL"
    assert rig.step() == "ERR_NULL"


def test_default_requests_are_valid(rig: Any) -> None:
    assert rig.names[rig.lib.rig_check_default_requests(rig.TARGET_nS)] == "OK"
    assert rig.names[rig.lib.rig_check_default_requests(1)] == "ERR_TARGET_RANGE"


def test_a_controller_is_small(rig: Any) -> None:
    assert rig.lib.rig_controller_size() <= 160  # bytes on a 64-bit host


@pytest.mark.parametrize(("direction", "lowered_uV", "v_uV"), [(1, 50_000, -292_000), (-1, 100_000, 606_500)])
def test_a_pulse_is_given_at_the_voltage_predicted(
    rig: Any, direction: int, lowered_uV: int, v_uV: int
) -> None:
    rig.script("OK", direction, 1000, lowered_uV)
    rig.start()
    assert rig.run(readings([], START_nS)) == "OK"
    assert rig.pulses == [(v_uV, 1000)]


@pytest.mark.parametrize(("direction", "lowered_uV"), [(1, 50_001), (1, -1), (-1, 100_001), (-1, -500)])
def test_a_voltage_that_the_predictor_does_not_know_is_never_given(
    rig: Any, direction: int, lowered_uV: int
) -> None:
    rig.script("OK", direction, 1000, lowered_uV)
    rig.start()
    assert rig.run(readings([], START_nS)) == "ERR_VOLTAGE"
    assert rig.pulses == []


def put_state(rig: Any, log2_rate_q4: int, pulses: int) -> None:
    put = [rig.ffi.new("int8_t[1]", [log2_rate_q4]), rig.ffi.new("uint8_t[1]", [pulses])]
    rig.lib.ouro_lockstep_put_states(rig.lockstep, *put)


def state_of(rig: Any) -> tuple[int, int]:
    found = [rig.ffi.new("int8_t[1]"), rig.ffi.new("uint8_t[1]")]
    rig.lib.ouro_lockstep_get_states(rig.lockstep, *found)
    return found[0][0], found[1][0]


def test_a_state_learns_from_every_pulse_that_was_given(rig: Any) -> None:
    put_state(rig, 5, 7)
    rig.start(rig.WRITE_VERIFY, max_iterations=3)
    assert rig.run(readings([START_nS, 160_000, 170_080], 180_000)) == "OK"
    assert rig.result()["pulses"] == 3
    assert state_of(rig) == (1, 7 + 3)
    rig.script("NO_PULSE_NEEDED", 0, 0)
    rig.start(rig.WRITE_VERIFY, max_iterations=3)
    assert rig.run(readings([], START_nS)) == "OK"
    assert state_of(rig) == (1, 7 + 3)


def test_one_shot_of_a_known_device_reads_after_its_pulse_and_learns(rig: Any) -> None:
    put_state(rig, 0, 7)
    rig.start()
    assert rig.run(readings([START_nS], 200_000)) == "OK"
    result = rig.result()
    assert (result["g_start_nS"], result["g_last_nS"]) == (START_nS, 200_000)
    assert (result["iterations"], result["pulses"], len(rig.pulses)) == (1, 1, 1)
    assert state_of(rig) == (1, 8)


def test_nothing_is_learned_without_a_reading_or_a_pulse(rig: Any) -> None:
    put_state(rig, 0, 7)
    rig.start()
    assert rig.run(readings([START_nS], 655_200)) == "ERR_READ_SATURATED"
    assert rig.result()["pulses"] == 1
    rig.script("NO_PULSE_NEEDED", 0, 0)
    rig.start()
    assert rig.run(readings([], START_nS)) == "NO_PULSE_NEEDED"
    rig.script()
    rig.start()
    rig.run(readings([], START_nS), until="pulse")
    assert rig.abort() == "ABORTED"
    assert state_of(rig) == (0, 7)


@pytest.mark.parametrize(("budget_ticks", "ticks"), [(1_000_000, 1000), (300, 300)])
def test_calibration_gives_its_pulses_and_learns_from_each(rig: Any, budget_ticks: int, ticks: int) -> None:
    put_state(rig, 0, 0)
    rig.start(rig.CALIBRATE, max_iterations=3, tolerance_permille=1000, budget_ticks=budget_ticks)
    assert rig.run(readings([START_nS, 160_000], START_nS)) == "OK"
    assert rig.pulses == [(rig.V_SET_uV, ticks)] * 3
    result = rig.result()
    assert (result["iterations"], result["pulses"], result["total_ticks"]) == (3, 3, 3 * ticks)
    assert state_of(rig) == (1, 3)


def test_calibration_needs_a_state(rig: Any) -> None:
    assert rig.start(rig.CALIBRATE) == "ERR_ARGUMENT"
    assert rig.pulses == []
