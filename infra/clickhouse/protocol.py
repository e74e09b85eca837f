"""What an HTTP request asks for: the statement, its data, parameters, settings and how to answer. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from urllib.parse import parse_qsl

from infra.clickhouse.compress import decompress
from infra.clickhouse.fail import BAD_REQUEST, NOT_IMPLEMENTED, SYNTAX_ERROR, UNKNOWN_ROLE, ClickHouseError
from infra.clickhouse.frames import unpack
from infra.clickhouse.split import Insert, first_word, has_two_statements, output_format, split_insert

MAX_BODY_BYTES = 512 << 20
"""The most that a request's body may have, also when it is unpacked."""

# Parameters of the protocol; all others are settings.
_RESERVED = frozenset(
    [
        "query",
        "database",
        "default_format",
        "user",
        "password",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "wait_end_of_query",
        "buffer_size",
        "compress",
        "decompress",
        "quota_key",
        "client_protocol_version",
        "role",
        "stacktrace",
        "enable_http_compression",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
    ]
)
_ANSWERING = frozenset(
    ["SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "FROM", "CHECK", "KILL", "VALUES", "CALL"]
)
# Formats whose blocks can simply follow one another; the others have a head or a tail and are made in one piece.
_STREAMED = frozenset(
    [
        "native",
        "tsv",
        "tabseparated",
        "tsvraw",
        "tabseparatedraw",
        "csv",
        "jsoneachrow",
        "jsonlines",
        "ndjson",
        "jsoncompacteachrow",
        "jsonstringseachrow",
        "jsoncompactstringseachrow",
        "rowbinary",
        "lineasstring",
        "rawblob",
        "msgpack",
    ]
)


@dataclass(frozen=True)
class Request:
    """An HTTP request: lower-case header names, decoded parameters, the body as it came."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Query:
    """One statement to run.

    Attributes:
        sql: the statement's text; for an INSERT with data only a copy for the log.
        insert: set when data comes with it.
        data: the body's data, behind the data of the statement itself.
        format: of the answer (also given as default to the engine).
        answers: whether the statement gives rows.
        buffered: whether the whole answer is wanted before the status line.
        compressed: whether the answer may be compressed as HTTP does.
        framed: whether the answer is wanted in ClickHouse's own frames.
        revision: the version of ClickHouse's protocol that the client speaks; 0: it does not say.
        changes: settings that the session keeps for its later statements.
    """

    sql: str
    insert: Insert | None = None
    data: bytes = b""
    params: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    database: str = ""
    format: str = "TabSeparated"
    query_id: str = ""
    answers: bool = True
    buffered: bool = False
    compressed: bool = False
    framed: bool = False
    revision: int = 0
    changes: Mapping[str, str] = field(default_factory=dict)

    @property
    def streams(self) -> bool:
        """Whether the answer can be sent block by block while the query runs."""
        return self.first_word in ("SELECT", "WITH") and not self.buffered and self.format.lower() in _STREAMED

    @property
    def first_word(self) -> str:
        """The statement's kind, e.g. ``SELECT``."""
        return first_word(self.sql.encode())


def parse(request: Request, new_id: str) -> Query:
    """The query of a request. Raises ClickHouseError for what the protocol does not allow.

    Args:
        new_id: the query's id if the client does not give one.
    """
    params = dict(request.params)
    body = decompress(request.body, request.headers.get("content-encoding", "").strip().lower(), MAX_BODY_BYTES)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        params |= _form(request.headers["content-type"], body)
        body = b""
    if is_set(params, "decompress"):
        body = unpack(body, MAX_BODY_BYTES)
    check_role(params.get("role", ""))
    statement = params.get("query", "").encode()
    default_format = params.get("default_format") or request.headers.get("x-clickhouse-format", "")
    insert, text, data = _statement(statement, body, default_format)
    if not text.strip():
        raise ClickHouseError(SYNTAX_ERROR, "Syntax error: Empty query")
    if insert is None and has_two_statements(text):
        raise ClickHouseError(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
    try:
        sql = text.decode()
    except UnicodeDecodeError as error:
        raise ClickHouseError(BAD_REQUEST, f"The statement is not UTF-8: {error}") from error
    settings = {name: value for name, value in params.items() if name not in _RESERVED and not name.startswith("param_")}
    if request.method in ("GET", "HEAD"):
        settings["readonly"] = settings.get("readonly", "2")
    return Query(
        sql=sql,
        insert=insert,
        data=data,
        params={name[6:]: value for name, value in params.items() if name.startswith("param_")},
        settings=settings,
        database=params.get("database") or request.headers.get("x-clickhouse-database", ""),
        format=output_format(text) or default_format or "TabSeparated",
        query_id=params.get("query_id") or new_id,
        answers=first_word(text) in _ANSWERING,
        buffered=is_set(params, "wait_end_of_query") or is_set(params, "http_wait_end_of_query"),
        compressed=is_set(params, "enable_http_compression"),
        framed=is_set(params, "compress"),
        revision=_revision(params.get("client_protocol_version", "0")),
    )


def _revision(text: str) -> int:
    if not text.isdecimal():
        raise ClickHouseError(BAD_REQUEST, "The client_protocol_version is not a number.")
    return int(text)


def is_set(params: Mapping[str, str], name: str) -> bool:
    """Whether a parameter is there that says yes."""
    return params.get(name, "0").lower() in ("1", "true")


def check_role(name: str) -> None:
    """Refuse a role (511): there are none, and whoever asks for one wants fewer rights than the user's."""
    if name.strip("'\"`").upper() not in ("", "NONE", "DEFAULT", "ALL"):
        raise ClickHouseError(UNKNOWN_ROLE, f"There is no role `{name}` in user directories.")


def _statement(statement: bytes, body: bytes, default_format: str) -> tuple[Insert | None, bytes, bytes]:
    """The INSERT with data or None, the statement's text without data, and the data behind it.

    As in ClickHouse, the statement is the parameter `query` followed by the body.
    """
    insert = split_insert(statement, default_format or "Values") if statement else None
    if insert is not None:
        return insert, insert.head.encode(), body
    if statement and body:
        statement += b"\n"
    whole = statement + body if statement else body
    insert = split_insert(whole, default_format or "Values")
    if insert is not None:
        return insert, insert.head.encode(), b""
    return None, whole, b""


def _form(content_type: str, body: bytes) -> dict[str, str]:
    """The plain fields of a multipart form; files would be external tables, which are not supported."""
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=HTTP)
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name, value = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if part.get_filename() is not None or not isinstance(name, str) or not isinstance(value, bytes):
            raise ClickHouseError(NOT_IMPLEMENTED, "External tables are not supported.")
        fields[name] = value.decode()
    return fields


def parse_params(query_string: bytes) -> dict[str, str]:
    """The parameters of a URL; of a repeated one the last counts."""
    return dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, encoding="utf-8"))
