"""Report a demo's run so that a shop owner understands it: a page of tables, plain where the output is no terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from cdp.settings import CLICKHOUSE, FLINK_REST, Settings
from loadtest.observe import Observed
from loadtest.plan import Plan
from loadtest.send import Tally
from loadtest.stack import Ledger

SHOWN_TAGS = (
    "active_7d", "browsing_7d", "signed_up", "cart_abandoned", "order_count", "order_count_30d", "order_amount_30d",
    "favourite_category", "member_level", "rfm_cell", "birthday_month", "lapsed",
)  # fmt: skip
RULES = {
    "signup_welcome": "welcome after signing up",
    "first_order_thanks": "thanks for the first order",
    "birthday_greeting": "birthday greeting",
}


@dataclass(frozen=True)
class Findings:
    """All that a report is made of. Times in `freshness` and `webhook`: p50 and p99 in ms. `ledger`: of this run only."""

    plan: Plan
    tally: Tally
    observed: Observed
    ledger: Ledger
    webhooks: Mapping[str, int]
    freshness: Mapping[str, Any]
    webhook: Mapping[str, Any]
    differences: Sequence[str]


def write_report(console: Console, findings: Findings) -> None:
    """Print the report."""
    observed, expected = findings.observed, findings.plan.expected
    console.rule("What the shop did", characters="-")
    console.print(
        f"{findings.tally.acked:,} events were sent and acknowledged: {observed.applied:,} count, "
        f"{observed.duplicates:,} were repeats and count once, "
        f"{observed.dead_lettered:,} could not be used and are kept with the reason."
    )
    console.print(
        f"{observed.devices:,} browsers, phones and tablets turned out to be {observed.people:,} people: "
        f"{observed.recognised:,} visits on another device were recognised as one person."
    )
    console.print(
        f"{observed.orders:,} orders, {observed.refunds:,} refunds, {observed.cancellations:,} cancellations, "
        f"{observed.items:,} lines in all; net revenue {observed.revenue:,.2f} yuan."
    )
    console.print(_tags(observed))
    console.print(_actions(findings))
    console.print(_funnel(observed.funnel))
    console.print(_retention(observed.retention))
    console.print(_freshness(findings))
    console.print(_ledger(findings.ledger))
    _verdict(console, findings.differences, expected.sent)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.ASCII, show_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _tags(observed: Observed) -> Table:
    table = _table("\nTags: who has what", "tag", "people", "share")
    for tag in SHOWN_TAGS:
        people = observed.tagged.get(tag, 0)
        table.add_row(tag, f"{people:,}", _share(people, observed.people))
    more = len(observed.tagged.keys() - set(SHOWN_TAGS))
    table.caption = f"and {more} more tags; a tag that somebody has not got is not counted"
    table.caption_justify = "left"
    return table


def _actions(findings: Findings) -> Table:
    table = _table("\nActions fired", "rule", "fired", "webhooks arrived", "delivered")
    for rule, fired in findings.observed.fired.items():
        delivered = findings.observed.delivered.get(rule, 0)
        table.add_row(RULES.get(rule, rule), f"{fired:,}", f"{findings.webhooks.get(rule, 0):,}", f"{delivered:,}")
    return table


def _funnel(funnel: Sequence[int]) -> Table:
    table = _table("\nFunnel: from looking to buying, within a day", "step", "people", "of all", "of the step before")
    before = funnel[0]
    for name, people in zip(("viewed a product", "put one into the cart", "ordered"), funnel, strict=True):
        table.add_row(name, f"{people:,}", _share(people, funnel[0]), _share(people, before))
        before = people
    return table


def _retention(retention: Mapping[str, Mapping[int, int]]) -> Table:
    weeks = max((age for ages in retention.values() for age in ages), default=0) + 1
    title = "\nRetention: of those who first ordered in a week, how many ordered again so many weeks later"
    table = _table(title, "first order in the week of", "people", *(f"+{age}" for age in range(1, weeks)))
    newest = len(retention)
    for place, (cohort, ages) in enumerate(retention.items()):
        size = ages.get(0, 0)
        open_weeks = weeks - 1 if place < newest - 1 else 0
        cells = [_share(ages[age], size) if age in ages else "-" for age in range(1, open_weeks + 1)]
        table.add_row(cohort, f"{size:,}", *cells)
    return table


def _freshness(findings: Findings) -> Table:
    table = _table("\nFreshness, from sending an event", "until", "half within", "99 % within", "measured")
    for name, figures in (("the profile is readable", findings.freshness), ("the webhook arrives", findings.webhook)):
        table.add_row(
            name, _milliseconds(figures.get("p50")), _milliseconds(figures.get("p99")), f"{figures.get('samples', 0):,}"
        )
    return table


def _ledger(ledger: Ledger) -> Table:
    table = _table(
        "\nLedger: every event is accounted for", "received", "applied", "repeats", "dead letters", "rejected", "missing"
    )
    figures = (ledger.received, ledger.applied, ledger.duplicates, ledger.dead_lettered, ledger.rejected, ledger.difference)
    table.add_row(*(f"{figure:,}" for figure in figures))
    return table


def _verdict(console: Console, differences: Sequence[str], sent: int) -> None:
    console.print()
    if not differences:
        console.print(f"All {sent:,} messages came out as the shop's seed says.")
        return
    console.print(f"{len(differences)} figures are not what the shop's seed says:")
    for sentence in differences:
        console.print(f"  {sentence}")


def write_addresses(console: Console, settings: Settings, user_id: str) -> None:
    """Where to look, and what to try next."""
    console.rule("Have a look", characters="-")
    console.print(f"  API and its documentation  {settings.api_url}/docs")
    console.print(f"  Flink                      http://127.0.0.1:{settings.port(FLINK_REST)}")
    console.print(f"  ClickHouse (HTTP)          http://127.0.0.1:{settings.port(CLICKHOUSE)}")
    console.print("Try next, in another terminal:")
    folder = f"CDP_DATA_DIR={settings.data_dir}"
    console.print(f"  {folder} cdp status")
    console.print(f'  {folder} cdp sql "SELECT event, count() FROM events GROUP BY event ORDER BY count() DESC"')  # noqa: S608 - shown, not run
    console.print(f"  {folder} cdp simulate --seconds 30")
    console.print(f"  a profile: {settings.api_url}/v1/profiles?id=user_id:{user_id} (with a token, see the documentation)")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _milliseconds(value: Any) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
