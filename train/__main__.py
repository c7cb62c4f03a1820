"""`python -m train VERB`: from a data set to trained, evaluated networks."""

from __future__ import annotations

import os

# As in codegen: matrices here are small, and more than one BLAS thread makes them slower. Before NumPy is
# imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from sim.command_line import run
from train.ablation_verbs import ablation_verb
from train.calibrate_verbs import calibrate
from train.device_verbs import devices, programming
from train.floor_verbs import floor
from train.page.verbs import page
from train.paper.ranges_verbs import ranges
from train.paper.verbs import paper
from train.pareto_verbs import pareto_verb
from train.recorded_verb import recorded
from train.report_verbs import report
from train.verbs import main
from train.voltage_verbs import front, voltage

main.add_command(ablation_verb)
main.add_command(calibrate)
main.add_command(devices)
main.add_command(floor)
main.add_command(front)
main.add_command(pareto_verb)
main.add_command(page)
main.add_command(paper)
main.add_command(ranges)
main.add_command(programming)
main.add_command(recorded)
main.add_command(report)
main.add_command(voltage)

if __name__ == "__main__":  # training processes import this module again
    run(main, "train")
