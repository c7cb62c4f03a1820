"""Memristor physics and the simulated bench; imports no other package of the project."""
