"""C sources and templates that codegen copies and renders into a firmware folder."""

from pathlib import Path

ROOT = Path(__file__).parent
STATIC = ROOT / "static"  # plain C, copied as it is to src/
GENERATED = ROOT / "generated"  # Jinja templates of C: data, sizes, configuration; to src/
PROJECT = ROOT / "project"  # the folder around src/: build files, README, licence, examples
BOARDS = ROOT / "boards"  # NAME/board.toml
HOST = ROOT / "host"  # C compiled only into the host library
HOST_PROGRAMS = HOST / "programs"  # programs of their own, for the host
EVA = ROOT / "eva"  # programs and contracts for run-time-error analysis
KERNELS = ROOT / "kernels"  # NAME/ouro_dense.[ch]: the layer kernel, chosen by the controller's core
DEVIATIONS = ROOT / "misra.toml"  # from MISRA C:2012, with reasons
BUDGETS = ROOT / "budgets.toml"  # what the predictor may cost on each core
PREDICTOR_LINKER_SCRIPT = ROOT / "predictor.ld"
TARGETS = ROOT / "targets"  # what an ELF needs besides the firmware: main, HAL, start-up of a core family
