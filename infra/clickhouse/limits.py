"""Which settings a reader may give, and how far: a limit of the reader's own may be lower than ours, never higher.

Tools send settings with every question, unasked. What is harmless is taken; a limit above ours is held at ours without a
word, so that the tool keeps working; everything else is refused as a ClickHouse server refuses it.
"""

import os
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from infra.clickhouse.fail import CANNOT_PARSE_NUMBER, READONLY, UNKNOWN_SETTING, ClickHouseError

LIMITS: Mapping[str, int] = {
    "max_memory_usage": 1 << 30,
    "max_execution_time": 60,
    "max_result_rows": 10_000_000,
}
"""What holds for every statement of a reader: bytes, seconds, rows."""

BOUNDS: Mapping[str, int] = {
    "max_execution_time": LIMITS["max_execution_time"],
    "max_result_rows": LIMITS["max_result_rows"],
    "max_threads": os.cpu_count() or 1,
    "max_block_size": 1 << 20,
}
"""The most that a reader may ask for; 0 means no limit to the engine, so it means ours."""

# An overflow mode "break" cuts an answer short without an error. The reader may wish that for limits of its own; an answer
# that our limit cuts is an error, or a part would be taken for the whole.
_BREAKS = {
    "result_overflow_mode": ("max_result_rows", "max_result_bytes"),
    "timeout_overflow_mode": ("max_execution_time", "max_estimated_execution_time"),
}

_TAKEN = re.compile(
    # How values are written and read.
    r"(?:in|out)put_format_\w+|format_\w+|date_time_\w+|bool_\w+_representation|session_timezone|use_client_time_zone"
    r"|cast_string_\w+"
    # What the statement means.
    r"|join_use_nulls|extremes|limit|offset|final|group_by_use_nulls|union_default_mode|transform_null_in|totals_mode"
    r"|select_sequential_consistency|enable_positional_arguments|prefer_column_name_to_alias|cast_keep_nullable"
    # Limits of the reader's own, where we have none.
    r"|max_result_bytes|max_estimated_execution_time|max_columns_to_read|max_temporary_(?:non_const_)?columns"
    r"|max_(?:rows|bytes)_(?:to_read|to_sort|in_set|in_join|in_distinct)(?:_leaf)?|max_rows_to_group_by"
    r"|(?:result|timeout|read|group_by|sort|set|join|distinct)_overflow_mode(?:_leaf)?"
    # What concerns the connection, or writing, which readers do not do.
    r"|log_comment|log_queries|send_logs_level|send_profile_events|cancel_http_readonly_queries_on_client_close"
    r"|(?:connect|send|receive)_timeout|http_(?:connection|send|receive)_timeout|http_wait_end_of_query|http_response_buffer_size"
    r"|http_write_exception_in_output_format|http_zlib_compression_level|http_headers_progress_interval_ms"
    r"|enable_http_compression|send_progress_in_http_headers|add_http_cors_header|network_\w*compression_\w+"
    r"|async_insert|wait_for_async_insert|insert_deduplicate|insert_quorum|insert_quorum_parallel"
)
# Names of files to read or write, and of other servers, though they look like formats.
_NEVER = re.compile(r"(?:output_)?format_schema\w*|format_template_\w+|format_avro_\w+|format_display_secrets\w*|\w+_path")
_NUMBER = re.compile(r"\+?\d{1,40}(?:\.\d{0,40})?", re.ASCII)


def may_be_given(name: str) -> bool:
    """Whether a reader may give the setting at all."""
    return name in BOUNDS or (_TAKEN.fullmatch(name) is not None and _NEVER.fullmatch(name) is None)


def limited(given: Mapping[str, str], known: frozenset[str]) -> dict[str, str]:
    """The settings that a reader's statement runs with.

    Args:
        given: by the reader, wherever it gave them.
        known: the names of all of the engine's settings.

    Raises:
        ClickHouseError: 115 for a setting that does not exist, 164 for one that readers may not give, 72 for a limit that is
            no number.
    """
    for name, value in given.items():
        _check(name, value, known)
    kept = {name: value for name, value in given.items() if name not in BOUNDS and name != "readonly"}
    own = {name: _lower(name, given[name]) for name in BOUNDS if name in given}
    limits = {name: value for name, value in own.items() if value}
    for mode, names in _BREAKS.items():
        if not any(limits.get(name) or _is_limit(kept.get(name, "")) for name in names):
            kept.pop(mode, None)
    ours = {name: str(value) for name, value in LIMITS.items()}
    return {**kept, **ours, **limits, "allow_introspection_functions": "0"}


def check_within(names: Iterable[str], known: frozenset[str]) -> None:
    """Refuse settings of a subquery that readers may not give; limits belong to the whole statement. Raises as `limited`."""
    for name in names:
        if name in BOUNDS:
            raise ClickHouseError(
                READONLY, f"Cannot modify '{name}' setting in readonly mode: only the whole statement has limits."
            )
        _check(name, "", known)


def _check(name: str, value: str, known: frozenset[str]) -> None:
    if name == "readonly":
        # The reader stays at 1 whatever it asks for; only an attempt to write is worth an error.
        if value not in ("1", "2"):
            raise ClickHouseError(READONLY, "Cannot modify 'readonly' setting in readonly mode.")
    elif name not in known and name != "profile":  # a profile is set like a setting, and listed as none
        raise ClickHouseError(UNKNOWN_SETTING, f"Unknown setting '{name}'.")
    elif not may_be_given(name):
        raise ClickHouseError(READONLY, f"Cannot modify '{name}' setting in readonly mode.")


def _lower(name: str, value: str) -> str:
    """The reader's limit, if it is lower than ours; else an empty text."""
    if name == "max_threads" and value.startswith("auto"):
        return ""
    if _NUMBER.fullmatch(value) is None:
        raise ClickHouseError(CANNOT_PARSE_NUMBER, f"Cannot parse the value '{value[:100]}' of the setting {name}: not a number.")
    return value if 0 < Decimal(value) < BOUNDS[name] else ""


def _is_limit(value: str) -> bool:
    return _NUMBER.fullmatch(value) is not None and Decimal(value) > 0
