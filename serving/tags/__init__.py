"""What tags there are."""

from serving.tags.router import router

__all__ = ["router"]
