"""What rules there are: triggers and identity."""

from serving.rules.router import router

__all__ = ["router"]
