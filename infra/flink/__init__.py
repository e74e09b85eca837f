"""The embedded Flink cluster: its configuration, its jars, and its REST interface."""
