"""The shared leaf of StreamCDP: contracts, settings, clock, errors and access to Kafka, Redis and ClickHouse.

Imports nothing of ours; everything else may import it.
"""

__version__ = "0.1.0"
