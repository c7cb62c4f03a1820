"""The report of a build as one self-contained HTML page: `python -m train page`."""
