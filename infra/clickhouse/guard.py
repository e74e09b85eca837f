"""What a reader may ask: SELECT, SHOW, DESCRIBE, EXISTS and EXPLAIN over the platform's database, with limits.

The engine itself brings every statement into its one canonical form first. That form is judged, and that form is run: so
comments, heredocs, odd quotes and the like cannot mean one thing here and another there.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from infra.clickhouse.fail import ACCESS_DENIED, READONLY, SYNTAX_ERROR, ClickHouseError
from infra.clickhouse.protocol import Query
from infra.clickhouse.split import Token, output_format, quote, tokens

LIMITS: Mapping[str, str] = {
    "max_memory_usage": str(1 << 30),
    "max_execution_time": "60",
    "max_result_rows": "10000000",
    "allow_introspection_functions": "0",
}
"""Settings of every reader's statement; only `max_execution_time` can be given, and only a smaller one."""

_KINDS = frozenset(["SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN"])
_SETTINGS = re.compile(
    r"output_format_\w+|date_time_output_format|format_\w+|join_use_nulls|extremes|session_timezone|readonly|max_block_size"
    r"|max_threads|limit|offset|async_insert|wait_for_async_insert|cancel_http_readonly_queries_on_client_close|log_comment"
    r"|http_\w+|max_execution_time|final|group_by_use_nulls|union_default_mode"
)
_TABLE_FUNCTIONS = frozenset(
    ["numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "values", "null", "primes"]
)
_FUNCTIONS_TOO = frozenset(("format", "null", "values"))  # names of table functions that are harmless functions as well
# Functions that read files, reach other machines, keep a thread busy for nothing, or tell what is not the reader's business.
_DENIED_FUNCTIONS = re.compile(
    r"file|filesystem\w*|catboostevaluate|joinget\w*|hascolumnintable|reversednsquery|sleep|sleepeachrow|logtrace"
    r"|getclienthttpheader|currentrequesturl|getserverport|getserversetting|getmacro|showcertificate|generateserialid"
    r"|ai(redact|similarity|filter|classify|embed|extract|generate|translate)\w*"
)
_SYSTEM_TABLES = frozenset(
    [
        "one",
        "numbers",
        "tables",
        "columns",
        "databases",
        "functions",
        "settings",
        "formats",
        "data_type_families",
        "table_functions",
        "table_engines",
        "dictionaries",
        "parts",
        "keywords",
        "time_zones",
        "build_options",
        "aggregate_function_combinators",
    ]
)
_EXPLAIN = re.compile(r"^EXPLAIN\s+(?:(?:AST|SYNTAX|QUERY TREE|PLAN|PIPELINE|ESTIMATE)\s+)?(?:\w+ = \d+(?:, )?\s*)*")
_SHOW = re.compile(
    r"SHOW (?:FULL )?(?:CREATE (?:TABLE|VIEW|DICTIONARY|DATABASE)?|TABLES|DATABASES|COLUMNS|DICTIONARIES|FUNCTIONS|SETTINGS)\b"
)


class Guard:
    """Judges the statements of readers.

    Args:
        ask: runs trusted SQL in the engine and gives its answer as text; raises ClickHouseError.
        database: the one that readers may see.
    """

    def __init__(self, ask: Callable[[str], str], database: str) -> None:
        self._ask = ask
        self._database = database
        self._table_functions = frozenset(ask("SELECT lower(name) FROM system.table_functions").split())

    def restrict(self, query: Query) -> Query:
        """The statement in its canonical form, with limits. Raises ClickHouseError (497, 164) for what is not allowed."""
        if query.insert is not None:
            raise _denied("only SELECT, SHOW, DESCRIBE, EXISTS and EXPLAIN are allowed")
        sql = self._canonical(query.sql)
        self._check(sql)
        # Names without a database are those of the platform's: no other may be current.
        if query.database not in ("", self._database):
            raise _denied(f"the current database must be {self._database}")
        form = output_format(sql.encode()) or query.format
        return replace(query, sql=sql, database=self._database, settings=_limited(query.settings), format=form)

    def _canonical(self, sql: str) -> str:
        try:
            return self._ask(f"SELECT formatQuerySingleLine({quote(sql)})")
        except ClickHouseError as error:
            raise ClickHouseError(
                (error.code, error.name), error.message.partition(": In scope SELECT formatQuery")[0]
            ) from error

    def _check(self, sql: str) -> None:
        words = list(tokens(sql.encode()))
        kind = next((token.upper.decode() for token in words if token.text != b"("), "")
        if kind not in _KINDS:
            raise _denied("only SELECT, SHOW, DESCRIBE, EXISTS and EXPLAIN are allowed")
        if any(a.upper == b"INTO" and b.upper == b"OUTFILE" for a, b in pairwise(words)):
            raise _denied("INTO OUTFILE is not allowed")
        if any(a.text == b":" and b.upper == b"IDENTIFIER" for a, b in pairwise(words)):
            raise _denied("names cannot be parameters")
        for name in _called(words):
            self._check_function(name)
        if kind in ("SELECT", "WITH"):
            self._check_tables(sql)
        elif kind == "EXPLAIN":
            self._check_tables(_EXPLAIN.sub("", sql, count=1))
        else:
            self._check_names(kind, sql, words)

    def _check_function(self, name: str) -> None:
        lower = name.lower()
        if lower in self._table_functions and lower not in _TABLE_FUNCTIONS | _FUNCTIONS_TOO:
            raise _denied(f"the function {name} is not open to readers")
        if _DENIED_FUNCTIONS.fullmatch(lower):
            raise _denied(f"the function {name} is not open to readers")

    def _check_tables(self, sql: str) -> None:
        try:
            trees = sqlglot.parse(sql, dialect="clickhouse")
        except (SqlglotError, RecursionError) as error:
            raise ClickHouseError(SYNTAX_ERROR, f"This is not plain SQL: {str(error).split(chr(10))[0]}") from error
        if len(trees) != 1 or not isinstance(trees[0], exp.Query):
            raise _denied("only queries are allowed here")
        for table in trees[0].find_all(exp.Table):
            if isinstance(table.this, exp.Identifier):
                self._check_table(table.db, table.name)
            elif not isinstance(table.this, exp.Func) or table.this.name.lower() not in _TABLE_FUNCTIONS:
                raise _denied(f"the table function {table.this.name} is not open to readers")

    def _check_table(self, database: str, table: str) -> None:
        if database and not self._visible(database):
            raise _denied(f"the database {database} is not open to readers")
        if database.lower() == "system" and table.lower() not in _SYSTEM_TABLES:
            raise _denied(f"the table system.{table} is not open to readers")

    def _check_names(self, kind: str, sql: str, words: list[Token]) -> None:
        """SHOW, DESCRIBE and EXISTS name things: brackets (table functions, subqueries) are not needed."""
        if kind == "SHOW" and _SHOW.match(sql) is None:
            raise _denied("of SHOW only TABLES, DATABASES, COLUMNS, DICTIONARIES, FUNCTIONS, SETTINGS and CREATE are allowed")
        if any(token.text == b"(" for token in words):
            raise _denied(f"{kind} with brackets is not open to readers")
        for before, dot in pairwise(words):
            if dot.text == b"." and not self._visible(_bare(before)):
                raise _denied(f"the database {_bare(before)} is not open to readers")

    def _visible(self, database: str) -> bool:
        return database == self._database or database.lower() in ("system", "information_schema")


def _called(words: list[Token]) -> Iterator[str]:
    """Names in front of an opening bracket: everything that may be a function, and some keywords."""
    for name, bracket in pairwise(words):
        if bracket.text == b"(" and name.kind in ("word", "name"):
            yield _bare(name)


def _bare(token: Token) -> str:
    text = token.text.decode()
    return text[1:-1] if token.kind == "name" else text


def _limited(settings: Mapping[str, str]) -> dict[str, str]:
    for name in settings:
        if _SETTINGS.fullmatch(name) is None:
            raise ClickHouseError(READONLY, f"Cannot modify '{name}' setting in readonly mode.")
    limited = {name: value for name, value in settings.items() if name != "readonly"} | dict(LIMITS)
    wanted = settings.get("max_execution_time", "")
    if wanted.isdigit() and 0 < int(wanted) < int(LIMITS["max_execution_time"]):
        limited["max_execution_time"] = wanted
    return limited


def _denied(reason: str) -> ClickHouseError:
    return ClickHouseError(ACCESS_DENIED, f"reader: Not enough privileges: {reason}.")
