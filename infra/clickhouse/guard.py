"""What a reader may ask: SELECT, SHOW, DESCRIBE, EXISTS and EXPLAIN over the platform's database, with limits.

The engine itself brings every statement into its one canonical form first. That form is judged, and that form is run: so
comments, heredocs, odd quotes and the like cannot mean one thing here and another there.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from infra.clickhouse.fail import ACCESS_DENIED, SYNTAX_ERROR, ClickHouseError
from infra.clickhouse.lift import lift_settings, read_assignments, settings_within
from infra.clickhouse.limits import check_within, limited
from infra.clickhouse.protocol import Query, check_role
from infra.clickhouse.reveal import Revealer
from infra.clickhouse.split import Token, first_word, output_format, quote, tokens

_ONLY = "only SELECT, SHOW, DESCRIBE, EXISTS and EXPLAIN are allowed"
_KINDS = frozenset(["SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN"])
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
        self._settings = frozenset(ask("SELECT name FROM system.settings").split())
        self._revealer = Revealer(self._settings)

    def restrict(self, query: Query) -> Query:
        """The statement in its canonical form, with limits. Raises ClickHouseError (497, 164, 115) for what is not allowed."""
        if query.insert is not None:
            raise _denied(_ONLY)
        sql, given = lift_settings(self._canonical(query.sql))
        changes = first_word(sql.encode()) in ("SET", "USE")
        if changes:
            given = self._changes(sql)
        query = replace(query, settings=limited({**query.settings, **given}, self._settings), changes=given if changes else {})
        if changes:
            return replace(query, sql="SELECT 1", format="Null", database=self._database, answers=False)
        self._check(sql)
        # Names without a database are those of the platform's: no other may be current.
        if query.database not in ("", self._database):
            raise _denied(f"the current database must be {self._database}")
        form = output_format(sql.encode()) or query.format
        return replace(query, sql=self._revealer.reveal(sql), database=self._database, format=form)

    def _changes(self, sql: str) -> dict[str, str]:
        """The settings of a SET. USE of the one database, and SET ROLE where there are no roles, change nothing."""
        kind, *words = tokens(sql.encode())
        if kind.upper == b"USE" and [_bare(token) for token in words] == [self._database]:
            return {}
        if kind.upper == b"SET" and words[:1] and words[0].upper == b"ROLE":
            check_role(b"".join(token.text for token in words[1:]).decode())
            return {}
        read = read_assignments(words) if kind.upper == b"SET" else None
        if read is None or read[1]:
            raise _denied(_ONLY)
        return read[0]

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
            raise _denied(_ONLY)
        if any(a.upper == b"INTO" and b.upper == b"OUTFILE" for a, b in pairwise(words)):
            raise _denied("INTO OUTFILE is not allowed")
        if any(a.text == b":" and b.upper == b"IDENTIFIER" for a, b in pairwise(words)):
            raise _denied("names cannot be parameters")
        check_within(settings_within(sql, self._settings), self._settings)
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


def _denied(reason: str) -> ClickHouseError:
    return ClickHouseError(ACCESS_DENIED, f"reader: Not enough privileges: {reason}.")
