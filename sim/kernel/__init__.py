"""The compiled hot loops and circuit solver."""
