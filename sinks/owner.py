"""Whose a fact is today, as SQL: what moved is looked up when the question is asked, not when the fact is written."""

from clickhouse_connect.driver.client import Client

# Tables of facts that are about a person as a whole, and of facts that count in a part of one.
OF_PERSONS = ("tag_changes", "actions", "deliveries", "merges", "duplicates")
OF_PARTS = ("events", "orders", "order_items")


def dictionary(database: str) -> str:
    """Name of the dictionary of what has moved since it was last squashed."""
    return f"{database}.person_overrides"


def reload(client: Client, database: str) -> None:
    """Let questions know what `overrides` says now: dictionaries of the embedded engine do not refresh by themselves."""
    client.command(f"SYSTEM RELOAD DICTIONARY {dictionary(database)}")


def owner(by: str, name: str) -> str:
    """An expression for the number of the person whose a fact is today.

    Args:
        by: "part", or "person" for facts that are about a person as a whole.
        name: an expression for the dictionary's name.
    """
    return f"dictGetOrDefault({name}, 'person', toUInt64({by}), owner)"
