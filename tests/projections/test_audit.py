import msgspec

from projections.audit import Trail
from schemas.experiment import Evidence, ExperimentPaused
from schemas.ids import ExperimentId
from tests.projections.story import recorded


def test_what_an_event_says_is_kept_as_json_has_it() -> None:
    """Its names are texts: otherwise they could not be put in an order, and would come back as others."""
    evidence = Evidence(verdict="harmful", reasons=(), next_offsets={0: 7, 11: 3})
    paused = ExperimentPaused(experiment_id=ExperimentId("exp_1"), by="analyzer", note="", evidence=evidence)
    entry = Trail(lambda _: True, from_beginning=True).entry(recorded(paused))
    assert entry is not None
    assert entry.after is not None
    assert entry.after["evidence"]["next_offsets"] == {"0": 7, "11": 3}
    assert msgspec.json.Encoder(order="deterministic").encode(entry)
