"""The command that counts a person again, on a real broker."""

import uuid

from cdp import kafka
from cdp.clock import SECOND
from cdp.people import one_id
from cdp.settings import Settings
from cdp.topics import Names
from cdp.wall_clock import wall_clock
from serving.profiles import rebuild
from streams.commands import RebuildPerson
from streams.records import decode_record
from tests.shop import NOW


def test_the_command_is_where_profile_reads_the_persons_events(kafka_servers: str) -> None:
    config = Settings(kafka=kafka_servers, topic_prefix=f"w{uuid.uuid4().hex[:12]}")
    names, people = Names(config.topic_prefix), (1, 2, 3, 4_000_000_000)
    kafka.ensure_topics(kafka_servers, names, config.partitions)
    sent = {
        (kafka.partition_of(one_id(person), config.partitions), rebuild.send(config, person, NOW)): person for person in people
    }
    client = kafka.consumer(kafka_servers, group="test", client_id="test")
    client.subscribe([names.resolved])
    found = {}
    deadline = wall_clock() + 60 * SECOND
    while len(found) < len(people) and wall_clock() < deadline:
        record = client.poll(0.5)
        if record is not None and record.error() is None:
            command = decode_record(record.value())
            assert isinstance(command, RebuildPerson)
            assert (command.time, command.one_id) == (NOW, record.key().decode())
            found[record.partition(), record.offset()] = command.person
    client.close()
    assert found == sent
