"""What a projection could not take in, published with the reason and where it lies, so that somebody can look at it."""

from collections.abc import Sequence

from infra.kafka.producer import Message, Publisher
from infra.kafka.topics import DEAD_LETTERS_TOPIC
from schemas.views import DeadLetter

LARGEST_VALUE = 900_000
LARGEST_HEADERS = 50_000
"""A broker takes a megabyte. What is larger stays where it is; the letter says where."""


class KafkaDeadLetters:
    def __init__(self, publisher: Publisher, reader: str) -> None:
        self._publisher = publisher
        self._reader = reader.encode()

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        await self._publisher.publish(DEAD_LETTERS_TOPIC, 0, [self._message(letter) for letter in letters])

    def _message(self, letter: DeadLetter) -> Message:
        value, position = letter.value or b"", letter.position
        size = sum(len(name) + len(text or b"") for name, text in letter.headers)
        headers = [
            *(letter.headers if size <= LARGEST_HEADERS else ()),
            ("dl_reader", self._reader),
            ("dl_reason", letter.reason.encode()),
            ("dl_topic", position.topic.encode()),
            ("dl_partition", b"%d" % position.partition),
            ("dl_offset", b"%d" % position.offset),
            ("dl_stamp_ms", b"%d" % letter.stamp_ms),
            ("dl_value_bytes", b"%d" % len(value)),
        ]
        return letter.key, value if len(value) <= LARGEST_VALUE else b"", headers


class NoLetters:
    """Of a replay: what cannot be read was told when the live projection met it."""

    def __init__(self) -> None:
        self.told = 0

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Nobody is told twice."""
        self.told += len(letters)
