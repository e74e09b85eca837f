"""A statement with its bound parameters, and how it is run."""

from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

MAX_SECONDS = 60

# Whose a fact is today: what moved is looked up when the question is asked, not when the fact is written.
SURVIVOR = "dictGetOrDefault({overrides:String}, 'person', toUInt64(part), person)"


@dataclass(frozen=True)
class Query:
    """SQL whose every value stands in `parameters`; nothing of a request is ever part of the text."""

    sql: str
    parameters: dict[str, Any]


def run(client: Client, query: Query) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    result = client.query(query.sql, parameters=query.parameters, settings={"max_execution_time": MAX_SECONDS})
    return [tuple(row) for row in result.result_rows]


def overrides(database: str) -> str:
    """Name of the dictionary of merged people."""
    return f"{database}.person_overrides"
