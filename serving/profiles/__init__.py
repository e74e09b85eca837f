"""Read one person: from Redis, with the recent events from ClickHouse."""

from serving.profiles.router import router

__all__ = ["router"]
