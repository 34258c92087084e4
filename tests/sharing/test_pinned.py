"""What a card names is asked for again as it was."""

from __future__ import annotations

from pipelines.sharing.pinned import pinned


def test_what_is_of_the_hub_is_asked_for_at_its_commit_and_a_name_as_it_is() -> None:
    here = {"reference": "one", "commit": "c1", "adapters": []}
    lora = {"reference": "ada/lora", "commit": "c2", "weight": 0.5}
    assert pinned(here) == "one"
    assert pinned({**here, "reference": "ada/two"}) == "ada/two@c1"
    assert pinned({**here, "adapters": [lora]}) == "one + ada/lora@c2:0.5"
