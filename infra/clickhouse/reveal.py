"""Tell readers the truth about settings: which they may give, and up to where.

A reader's connection is read-only, so that `system.settings` calls every setting read-only there. Clients believe it:
clickhouse-connect then refuses to send any.
"""

from infra.clickhouse.limits import BOUNDS, may_be_given
from infra.clickhouse.split import quote, tokens


class Revealer:
    """Puts a truthful query in the place of the table `system.settings`.

    Args:
        settings: the names of all of the engine's settings.
    """

    def __init__(self, settings: frozenset[str]) -> None:
        given = ", ".join(quote(name) for name in sorted(settings) if may_be_given(name))
        names = ", ".join(quote(name) for name in BOUNDS)
        values = ", ".join(quote(str(value)) for value in BOUNDS.values())
        self._query = (
            f"(SELECT * REPLACE (toUInt8(name NOT IN ({given})) AS readonly,"  # noqa: S608 - constants
            f" if(name IN ({names}), transform(name, [{names}], [{values}], ''), max) AS max) FROM system.settings)"
        )

    def reveal(self, sql: str) -> str:
        """The statement with the query in it, wherever it selects from the table.

        Args:
            sql: in the engine's canonical form.
        """
        if "settings" not in sql.lower():
            return sql
        raw, parts, done = sql.encode(), [], 0
        words = list(tokens(raw))
        for at in range(1, len(words) - 2):
            before, database, dot, table = words[at - 1 : at + 3]
            named = (database.text.lower(), dot.text, table.text.lower()) == (b"system", b".", b"settings")
            if named and before.upper in (b"FROM", b"JOIN"):
                alias = b"" if words[at + 3 :] and words[at + 3].upper == b"AS" else b" AS settings"
                parts += [raw[done : database.start], self._query.encode(), alias]
                done = table.end
        return b"".join([*parts, raw[done:]]).decode()
