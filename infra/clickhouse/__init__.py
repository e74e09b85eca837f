"""The embedded ClickHouse: chDB, the real engine in one process, behind the HTTP protocol of a ClickHouse server."""
