"""The bench of the identity graph on a Redis of its own: a small one comes out whole, and what is not empty is left alone."""

import pytest

from cdp.errors import CdpError
from cdp.redis import connect
from loadtest.bench_identity import SIZES, Population, bench_graph, own_redis


def test_a_small_bench_of_the_graph() -> None:
    said: list[str] = []
    with own_redis() as url:
        answer = bench_graph(url, Population(people=120, lookups=300, seed=1), said.append)
        client = connect(url)
        assert client.dbsize() == 0
        client.set("somebody's", "own")
        with pytest.raises(CdpError, match="not empty"):
            bench_graph(url, Population(people=120, lookups=300, seed=1), said.append)
        assert client.get("somebody's") == b"own"
    assert (answer["links"]["events"], answer["merging"]["events"], answer["known"]["process"]["events"]) == (120, 120, 300)
    assert answer["known"]["forgotten"]["events"] == 120
    for name in ("known_lookups", "graph_lookups", "forgotten_lookups", "new_links", "merging_links"):
        assert answer[f"{name}_per_second"] > 0
    assert set(answer["bytes_per_identifier"]) == {str(size) for size in SIZES}
    assert answer["bytes_per_identifier"]["1"] < answer["bytes_per_identifier"]["2"]
    assert said
