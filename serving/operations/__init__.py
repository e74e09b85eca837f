"""How the platform is doing: ledger, health, metrics."""

from serving.operations.router import router

__all__ = ["router"]
