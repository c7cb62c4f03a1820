"""`python -m sim VERB`: device models and the data set."""

from sim.command_line import run
from sim.verbs import main

run(main, "sim")
