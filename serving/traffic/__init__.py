"""The traffic table in force: read, change and try it."""
