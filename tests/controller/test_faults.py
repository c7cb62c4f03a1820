"""Hardware that fails, callers that interfere, memory that changes: a status each, and always safe."""

from __future__ import annotations

from typing import Any

import pytest

START_CODE = 940
PENDING, FAILED, NONSENSE = 0, 2, 77


def start_reading() -> int:
    return START_CODE


def outcome(rig: Any) -> str:
    return str(rig.run(start_reading))


def stage(rig: Any) -> int:
    return int(rig.result()["stage"])


SELECT, SETTLE_CELL, READ, DECIDE, SETTLE_PULSE, PULSE = range(1, 7)


def test_a_cell_that_does_not_exist(rig: Any) -> None:
    rig.inject("SELECT", 1)
    rig.start()
    assert outcome(rig) == "ERR_SELECT"
    assert stage(rig) == SELECT


@pytest.mark.parametrize(
    ("fault", "where"),
    [("SETTLE_ANSWER", SETTLE_CELL), ("READ_ANSWER", READ), ("PULSE_ANSWER", PULSE)],
)
@pytest.mark.parametrize(
    ("answer", "status"), [(PENDING, "ERR_TIMEOUT"), (FAILED, "ERR_HAL"), (NONSENSE, "ERR_HAL")]
)
def test_waits_are_bounded_and_failures_reported(
    rig: Any, fault: str, where: int, answer: int, status: str
) -> None:
    rig.inject(fault, answer)
    rig.start()
    assert outcome(rig) == status
    assert stage(rig) == where


def test_every_wait_has_the_whole_budget(rig: Any) -> None:
    """50 polls per wait on the test board; the last of them may still succeed."""
    rig.start(rig.WRITE_VERIFY, tolerance_nS=10, max_iterations=2)
    for _ in range(2):
        assert rig.run(start_reading, until="read") == "BUSY"
        assert [rig.step() for _ in range(49)] == ["BUSY"] * 49
        rig.serve_read(START_CODE)
        assert rig.run(start_reading, until="pulse") == "BUSY"
        assert [rig.step() for _ in range(49)] == ["BUSY"] * 49
        rig.serve_pulse(1000)
    assert outcome(rig) == "ERR_NOT_CONVERGED"


@pytest.mark.parametrize("kind", ["read", "pulse"])
def test_the_budget_ends(rig: Any, kind: str) -> None:
    rig.start()
    rig.run(start_reading, until=kind)
    assert [rig.step() for _ in range(50)] == ["BUSY"] * 49 + ["ERR_TIMEOUT"]


@pytest.mark.parametrize(("answer", "status"), [(PENDING, "ERR_TIMEOUT"), (FAILED, "ERR_HAL")])
def test_the_pulse_voltage_may_never_settle(rig: Any, answer: int, status: str) -> None:
    rig.start()
    assert rig.run(start_reading, until="read") == "BUSY"
    rig.inject("SETTLE_ANSWER", answer)
    rig.serve_read(START_CODE)
    assert outcome(rig) == status
    assert stage(rig) == SETTLE_PULSE
    assert rig.pulses == []


def test_a_pulse_of_unknown_length_is_counted(rig: Any) -> None:
    rig.inject("PULSE_ANSWER", FAILED)
    rig.start()
    assert outcome(rig) == "ERR_HAL"
    result = rig.result()
    assert (result["pulses"], result["direction"], result["last_ticks"]) == (1, 1, 0)


@pytest.mark.parametrize("direction", [-1, 1])
@pytest.mark.parametrize("error_uV", [501, -501, 400_000, -2_000_000_000])
def test_another_voltage_than_asked_for_gives_no_pulse(rig: Any, direction: int, error_uV: int) -> None:
    rig.script("OK", direction, 1000)
    rig.inject("VOLTAGE_uV", error_uV)
    rig.start()
    assert outcome(rig) == "ERR_VOLTAGE"
    assert stage(rig) == DECIDE  # noticed at once, not after the settling time
    assert rig.pulses == []


def test_a_voltage_within_one_dac_step_is_accepted(rig: Any) -> None:
    rig.inject("VOLTAGE_uV", 500)
    rig.start()
    assert outcome(rig) == "OK"
    assert rig.pulses == [(rig.V_SET_uV + 500, 1000)]


def test_a_voltage_that_remains_after_the_pulse(rig: Any) -> None:
    rig.inject("ZERO_uV", 501)
    rig.start()
    assert outcome(rig) == "ERR_VOLTAGE"
    assert rig.result()["pulses"] == 1


@pytest.mark.parametrize("given", [0, 999, 1001, 2000, 2**32 - 1])
def test_lost_and_doubled_ticks(rig: Any, given: int) -> None:
    """1000 ticks may be off by 1000 // 64 = 15."""
    rig.start()
    expected = "OK" if abs(given - 1000) <= 15 else "ERR_PULSE_LENGTH"
    assert rig.run(start_reading, given=lambda ticks: given) == expected
    assert rig.result()["total_ticks"] == given


def test_short_pulses_must_be_exact(rig: Any) -> None:
    rig.script("OK", 1, 63)
    rig.start()
    assert rig.run(start_reading, given=lambda ticks: ticks + 1) == "ERR_PULSE_LENGTH"


@pytest.mark.parametrize("ticks", [0, 1, 500_001, 2**32 - 1])
def test_lengths_beyond_the_limits_are_refused(rig: Any, ticks: int) -> None:
    rig.script("OK", 1, ticks)
    rig.start()
    assert outcome(rig) == "ERR_LIMIT_WIDTH"
    assert rig.pulses == []


@pytest.mark.parametrize("ticks", [2, 500_000])
def test_lengths_at_the_limits_are_given(rig: Any, ticks: int) -> None:
    rig.script("OK", 1, ticks)
    rig.start()
    assert outcome(rig) == "OK"
    assert rig.pulses == [(rig.V_SET_uV, ticks)]


@pytest.mark.parametrize("direction", [0, 2, -2])
def test_a_direction_that_is_none_is_refused(rig: Any, direction: int) -> None:
    rig.script("OK", direction, 1000)
    rig.start()
    assert outcome(rig) == "ERR_LIMIT_VOLTAGE"
    assert rig.pulses == []


def advance(rig: Any, where: str) -> None:
    """Bring a write-and-verify program to a stage."""
    rig.start(rig.WRITE_VERIFY, tolerance_nS=10)
    if where == "select":
        return
    rig.step()
    if where == "settle":
        return
    rig.run(start_reading, until="read")
    if where == "read":
        return
    rig.serve_read(START_CODE)
    rig.step()
    if where == "decide":
        return
    rig.step()
    if where == "settle pulse":
        return
    rig.step()
    assert rig.waiting() == "pulse"


STAGES = ["select", "settle", "read", "decide", "settle pulse", "pulse"]


@pytest.mark.parametrize("where", STAGES)
def test_abort_at_every_stage(rig: Any, where: str) -> None:
    advance(rig, where)
    assert rig.abort() == "ABORTED"
    assert rig.is_safe
    assert stage(rig) == STAGES.index(where) + 1
    assert rig.step() == "ABORTED"
    rig.start()
    assert outcome(rig) == "OK"


@pytest.mark.parametrize("where", STAGES)
def test_a_second_start_stops_everything(rig: Any, where: str) -> None:
    advance(rig, where)
    assert rig.start() == "ERR_STATE"
    assert rig.is_safe
    assert rig.step() == "ERR_STATE"


@pytest.mark.parametrize("where", STAGES)
def test_initialising_again_stops_everything(rig: Any, where: str) -> None:
    advance(rig, where)
    assert rig.init() == "IDLE"
    assert rig.is_safe
    assert rig.step() == "IDLE"


@pytest.mark.parametrize("call", ["step", "abort", "start"])
@pytest.mark.parametrize("where", STAGES)
def test_a_damaged_stage_is_noticed(rig: Any, where: str, call: str) -> None:
    advance(rig, where)
    rig.damage("STAGE", 0 if where != "select" else 6)
    assert getattr(rig, call)() == "ERR_CORRUPT"
    assert rig.is_safe


@pytest.mark.parametrize("value", [7, -1, 0])
def test_an_unknown_stage_is_noticed(rig: Any, value: int) -> None:
    advance(rig, "pulse")
    rig.damage("STAGE_PAIR", value)
    assert rig.step() == "ERR_CORRUPT"


def test_a_damaged_status_does_not_leave_a_pulse_unattended(rig: Any) -> None:
    advance(rig, "pulse")
    rig.damage("STATUS", 0)
    rig.serve_pulse(1000)
    assert rig.step() == "BUSY"
    assert rig.result()["status"] == rig.lib.OURO_BUSY
    assert rig.run(lambda: rig.code(rig.TARGET_nS)) == "CONVERGED"


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("PULSE_TICKS", 500_001, "ERR_LIMIT_WIDTH"),
        ("PULSE_TICKS", -1, "ERR_LIMIT_WIDTH"),
        ("PULSE_V", -342_500, "ERR_VOLTAGE"),
        ("PULSE_V", -291_999, "ERR_VOLTAGE"),
        ("PULSE_V", 2**31 - 1, "ERR_VOLTAGE"),
        ("PULSE_V", -(2**31), "ERR_VOLTAGE"),
        ("PULSE_DIRECTION", -1, "ERR_VOLTAGE"),
        ("PULSE_DIRECTION", 0, "ERR_VOLTAGE"),
        ("V_REALLY", 0, "ERR_VOLTAGE"),
        ("PULSES", 20, "ERR_LIMIT_PULSES"),
    ],
)
def test_the_gate_is_asked_again_before_the_pulse(rig: Any, field: str, value: int, status: str) -> None:
    advance(rig, "settle pulse")
    rig.damage(field, value)
    assert rig.step() == status
    assert rig.pulses == []


def test_a_damaged_iteration_limit_cannot_exceed_the_boards(rig: Any) -> None:
    advance(rig, "read")
    rig.damage("MAX_ITERATIONS", 65_535)
    rig.serve_read(START_CODE)
    assert outcome(rig) == "ERR_LIMIT_PULSES"
    assert rig.result()["pulses"] == 20


def test_a_damaged_poll_counter_cannot_wait_for_ever(rig: Any) -> None:
    advance(rig, "read")
    rig.damage("POLLS", 0)
    assert rig.step() == "ERR_TIMEOUT"
