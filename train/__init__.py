"""Trains pulse predictors on data sets of `sim`, evaluates them and writes network files for `codegen`."""
