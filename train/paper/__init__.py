"""The paper's figures and statements, measured again: `python -m train paper`."""
