"""The compiled hot loop; `sim.stepper` is its only user."""
