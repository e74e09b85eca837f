"""Read ``KILL QUERY WHERE query_id = '...'``, by which drivers cancel what they asked: the engine knows other ids than ours."""

from infra.clickhouse.split import tokens, unquote

_BEGINS = (b"KILL", b"QUERY", b"WHERE", b"QUERY_ID", b"=")


def killed_query(sql: str) -> str | None:
    """The id of the statement to cancel; None if this is no such statement, or says more."""
    words = list(tokens(sql.encode()))
    if len(words) <= len(_BEGINS) or tuple(word.upper for word in words[: len(_BEGINS)]) != _BEGINS:
        return None
    value, rest = words[len(_BEGINS)], [word.upper for word in words[len(_BEGINS) + 1 :] if word.text != b";"]
    if rest[:1] in ([b"SYNC"], [b"ASYNC"]):
        rest = rest[1:]
    if value.kind != "string" or (rest and (len(rest) != 2 or rest[0] != b"FORMAT")):
        return None
    return unquote(value.text.decode())
