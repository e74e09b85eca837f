"""The PyFlink jobs: RESOLVE, PROFILE and FACTS. One pure step per file, and one thin file that wires them into Flink."""
