"""Carrying out the units of a plan."""
