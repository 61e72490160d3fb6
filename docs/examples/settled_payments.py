"""Tells of every payment once it is settled. It needs aiokafka, docs/events.md and nothing of this repository.

python docs/examples/settled_payments.py localhost:9092 my-group
"""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer

SETTLED = {"PaymentSucceeded": "charged", "PaymentFailed": "not charged"}


async def main(servers: str, group: str) -> None:
    consumer = AIOKafkaConsumer(
        "payments.events.v1",
        bootstrap_servers=servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    header = {name: (content or b"").decode() for name, content in record.headers}
                    if not int(header["ce_validfrom"]) <= record.timestamp < int(header["ce_validuntil"]):
                        continue  # void: it does not exist
                    if header["ce_type"] in SETTLED:  # names that are not known are skipped
                        print(header["ce_subject"], SETTLED[header["ce_type"]], header["ce_id"], flush=True)
            await consumer.commit()  # only now: after a crash they come again, with the same ce_id
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
