"""The tracking plan: which events there are, how their properties look, and what becomes of those that do not fit."""
