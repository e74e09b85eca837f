"""A statement with its bound parameters, and how it is run."""

from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from sinks.owner import owner

MAX_SECONDS = 60

SURVIVOR = owner("part", "{overrides:String}")


@dataclass(frozen=True)
class Query:
    """SQL whose every value stands in `parameters`; nothing of a request is ever part of the text."""

    sql: str
    parameters: dict[str, Any]


def run(client: Client, query: Query) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    result = client.query(query.sql, parameters=query.parameters, settings={"max_execution_time": MAX_SECONDS})
    return [tuple(row) for row in result.result_rows]
