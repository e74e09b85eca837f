"""Names of Kafka topics, consumer groups and Redis keys: one place, so that no two parts disagree."""

from dataclasses import dataclass

from cdp.people import one_id


@dataclass(frozen=True)
class Names:
    """All names under one prefix (``CDP_TOPIC_PREFIX``)."""

    prefix: str

    @property
    def events(self) -> str:
        """What the collector took; key = the event's strongest identifier."""
        return f"{self.prefix}.events"

    @property
    def resolved(self) -> str:
        """Events with their person, and commands; key = OneID: every person has one writer."""
        return f"{self.prefix}.resolved"

    @property
    def facts(self) -> str:
        """Applied events and verdicts, in the order of their position on `resolved`; key = OneID."""
        return f"{self.prefix}.facts"

    @property
    def changes(self) -> str:
        """Tag changes and merges, for the history; key = OneID."""
        return f"{self.prefix}.changes"

    @property
    def merges(self) -> str:
        """Merges, and facts that count in other parts, to be led to whom facts belong from now on; key = OneID."""
        return f"{self.prefix}.merges"

    @property
    def actions(self) -> str:
        """Fired rules, for the dispatcher; key = OneID."""
        return f"{self.prefix}.actions"

    @property
    def deliveries(self) -> str:
        """What became of the actions; key = OneID."""
        return f"{self.prefix}.deliveries"

    @property
    def dead_letters(self) -> str:
        """Everything refused, with the reason."""
        return f"{self.prefix}.dead-letters"

    @property
    def items(self) -> str:
        """What was said of things that are not people; key = ``type:id``."""
        return f"{self.prefix}.items"

    def all_topics(self) -> list[str]:
        """Every topic of the platform."""
        return [
            self.events, self.resolved, self.facts, self.changes, self.merges, self.actions, self.deliveries,
            self.dead_letters, self.items,
        ]  # fmt: skip

    def group(self, job: str) -> str:
        """Consumer group of a job: ``resolve``, ``profile``, ``facts`` or ``dispatcher``."""
        return f"{self.prefix}-{job}"

    @property
    def identifier_prefix(self) -> str:
        """What stands before ``type:value`` in the Redis key of an identifier's record."""
        return f"{self.prefix}:id:"

    def component_key(self, number: int) -> str:
        """Redis key of identifiers that hang together, with their evidence."""
        return f"{self.prefix}:component:{number}"

    @property
    def component_key_pattern(self) -> str:
        """What the keys of all components match."""
        return f"{self.prefix}:component:*"

    def match_key(self, key: str) -> str:
        """Redis set of the identifiers whose traits have a key in common."""
        return f"{self.prefix}:match:{key}"

    def moves_key(self, partition: int) -> str:
        """Redis sorted set of what moved from person to person, by offset on `events`, until it is committed."""
        return f"{self.prefix}:moves:{partition}"

    @property
    def review_key(self) -> str:
        """Redis sorted set of the components in which something waits for somebody's decision."""
        return f"{self.prefix}:review"

    @property
    def identity_rules_key(self) -> str:
        """Redis key of the identity rules in force; it is missing while the shipped ones are."""
        return f"{self.prefix}:rules:identity"

    @property
    def identity_rules_version_key(self) -> str:
        """Redis key of their version, for those who only want to know whether it changed."""
        return f"{self.prefix}:rules:identity:version"

    def rule_book_key(self, number: int) -> str:
        """Redis key of a book of tags and triggers (`cdp.rule_books`)."""
        return f"{self.prefix}:rules:book:{number}"

    @property
    def rule_book_number_key(self) -> str:
        """Redis key of the number of the newest book that is in Redis."""
        return f"{self.prefix}:rules:book"

    @property
    def rules_announced_key(self) -> str:
        """Redis key of the number of the newest book of which every partition of `resolved` has a record."""
        return f"{self.prefix}:rules:announced"

    @property
    def people_key(self) -> str:
        """Redis key of the last number given to a person, or a part of one."""
        return f"{self.prefix}:people"

    @property
    def graph_version_key(self) -> str:
        """Redis key of the last version given to a change of the identity graph."""
        return f"{self.prefix}:graph-version"

    def profile_key(self, person: int) -> str:
        """Redis key of a person's profile."""
        return f"{self.prefix}:profile:{{{one_id(person)}}}"

    @property
    def profile_key_pattern(self) -> str:
        """What the keys of all profiles match."""
        return f"{self.prefix}:profile:*"

    @property
    def upgraded_key(self) -> str:
        """Redis key of the profile format of which no older profile waits for anything any more, unless somebody wakes it."""
        return f"{self.prefix}:upgraded"

    def slices_key(self, person: int) -> str:
        """Redis key of what a person's profile has outgrown: a hash, in the same slot as the profile."""
        return f"{self.prefix}:slices:{{{one_id(person)}}}"

    def rules_since_key(self, partition: int) -> str:
        """Redis sorted set of the rule books that came into force on a partition of `resolved`, by offset."""
        return f"{self.prefix}:rules:since:{partition}"

    def rules_sweep_key(self, partition: int) -> str:
        """Redis key of how far a partition has looked at everybody since a rule book came into force."""
        return f"{self.prefix}:rules:sweep:{partition}"

    def outbox_key(self, partition: int) -> str:
        """Redis sorted set of what PROFILE put out, by offset on `resolved`, until it is committed."""
        return f"{self.prefix}:outbox:{partition}"

    def due_key(self, partition: int) -> str:
        """Redis sorted set of the people of a partition for whom time alone will change something."""
        return f"{self.prefix}:due:{partition}"

    def waiting_key(self, partition: int) -> str:
        """Redis sorted set of the people of a partition who wait for something, by the moment since when."""
        return f"{self.prefix}:waiting:{partition}"

    @property
    def healed_key(self) -> str:
        """Redis key of how many people waited for too long, and were helped."""
        return f"{self.prefix}:healed"

    @property
    def rejected_key(self) -> str:
        """Redis hash that counts events refused at the door, by reason."""
        return f"{self.prefix}:ledger:rejected"
