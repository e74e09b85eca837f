"""Read one person: from Redis, with the recent events from ClickHouse; and have a person counted again."""
