"""Random callers, requests, hardware and predictors: whatever happens, no safety rule is ever broken."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = 100 if os.environ.get("OURO_TEST_SANITIZE") else 400

ticks = st.one_of(st.integers(0, 3), st.integers(0, 600_000), st.integers(0, 2**32 - 1))
requests = st.fixed_dictionaries(
    {
        "mode": st.integers(-1, 3),
        "target_nS": st.one_of(st.integers(94_450, 559_300), st.integers(-(2**31), 2**31 - 1)),
        "tolerance_nS": st.one_of(st.just(0), st.integers(-1, 100_000)),
        "tolerance_permille": st.one_of(st.just(0), st.integers(0, 1001)),
        "max_iterations": st.integers(0, 21),
        "stuck_pulses": st.integers(0, 3),
        "stuck_move_nS": st.integers(-1, 600_000),
        "budget_ticks": ticks,
        "wish_permille": st.integers(0, 1001),
    }
)
actions = st.one_of(
    st.tuples(st.just("start"), requests),
    st.tuples(st.just("step"), st.integers(1, 8)),
    st.tuples(st.just("serve"), st.tuples(st.integers(0, 4095), st.one_of(st.none(), ticks))),
    st.tuples(
        st.just("script"),
        st.tuples(
            st.sampled_from(["OK", "NO_PULSE_NEEDED", "NOT_PROMISED"]),
            st.integers(-2, 2),
            ticks,
            st.integers(-1000, 200_000),
        ),
    ),
    st.tuples(st.just("fault"), st.tuples(st.integers(0, 5), st.integers(-1, 3))),
    st.tuples(st.just("voltage"), st.integers(-1_000_000, 1_000_000)),
    st.tuples(st.just("states"), st.tuples(st.integers(-128, 127), st.integers(0, 255))),
    st.tuples(st.sampled_from(["abort", "init"]), st.none()),
)
# A program that goes well, so that sequences reach deep states often.
good_iteration = [("step", 3), ("serve", (1000, None)), ("step", 4), ("serve", (1000, None)), ("step", 2)]


def act(rig: Any, action: str, value: Any) -> None:
    if action == "start":
        rig.start(**value)
    elif action == "step":
        for _ in range(value):
            rig.step()
    elif action == "serve":
        wait = rig.waiting()
        if wait == "read":
            rig.serve_read(value[0])
        elif wait == "pulse":
            rig.serve_pulse(rig.pulses[-1][1] if value[1] is None else value[1])
    elif action == "script":
        rig.script(*value)
    elif action == "fault":
        rig.lib.ouro_lockstep_inject(rig.lockstep, 0, *value)
    elif action == "states":
        put = [rig.ffi.new("int8_t[1]", [value[0]]), rig.ffi.new("uint8_t[1]", [value[1]])]
        rig.lib.ouro_lockstep_put_states(rig.lockstep, *put)
    elif action == "voltage":
        rig.inject("VOLTAGE_uV", value)
    else:
        getattr(rig, action)()


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.one_of(actions, st.just(("good", None))), max_size=40))
def test_no_sequence_breaks_a_safety_rule(rig: Any, sequence: list[tuple[str, Any]]) -> None:
    rig.reset()
    for action, value in sequence:
        for step in good_iteration if action == "good" else [(action, value)]:
            act(rig, *step)
            status = rig.names[rig.result()["status"]]
            assert rig.violations == 0
            assert rig.is_safe or status == "BUSY", status
    assert all(2 <= length <= 500_000 and abs(v_uV) <= 750_000 for v_uV, length in rig.pulses)
    rig.abort()
