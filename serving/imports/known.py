"""Of the messages of an import: how many the platform had not counted before. It drops those it knows, and says so later."""

from cdp import clickhouse
from cdp.settings import Settings
from serving.imports.apply import LIBRARY
from serving.operations.ledger import gather, wait_until_balanced

NEW = """
SELECT count() FROM events
WHERE received_at >= fromUnixTimestamp64Micro({since:Int64}) AND library = {library:String} AND replay_of = ''
"""


def count_new(settings: Settings, since: int, sent: int, patience: float) -> int | None:
    """How many of the messages sent since then (in microseconds) became facts; None if that cannot be said in time.

    Waits until every event is accounted for. Messages of imports that run at the same time are not told apart: where there
    are more than this one sent, nothing is said.
    """
    try:
        client = clickhouse.connect(settings)
        if not wait_until_balanced(lambda: gather(settings, client), patience).balanced:
            return None
        found = client.query(NEW, parameters={"since": since, "library": LIBRARY["name"]}).result_rows[0][0]
    except Exception:  # whatever does not answer: the import itself is done
        return None
    return int(found) if int(found) <= sent else None
