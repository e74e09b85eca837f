"""Funnels, retention and sessions, computed by ClickHouse over the facts. People are counted as who they are today, bots not."""

from serving.analytics.router import router

__all__ = ["router"]
