"""`python -m sim VERB`: device models and the data set."""

from sim.command_line import run
from sim.verbs import main

if __name__ == "__main__":
    run(main, "sim")
