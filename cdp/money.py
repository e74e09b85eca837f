"""Amounts of money."""

MONEY = 10_000  # amounts are integers of 1/10,000 of the currency's unit: sums do not depend on the order
