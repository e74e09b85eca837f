"""Funnels and retention, computed by ClickHouse over the facts. People are counted as who they are today."""

from serving.analytics.router import router

__all__ = ["router"]
