"""A page that Grafana can be provisioned with as it lies here."""

import msgspec
import yaml

from tests.monitoring.rules import DASHBOARD, FOLDER, panels

PROVISIONING = FOLDER / "grafana" / "provisioning"


def test_panels_have_a_title_an_id_of_their_own_and_a_place_of_their_own() -> None:
    assert all(panel["title"] for panel in panels())
    assert len({panel["id"] for panel in panels()}) == len(panels())
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells


def test_panels_ask_the_source_that_is_chosen_which_is_at_first_the_one_that_is_provisioned() -> None:
    dashboard = msgspec.json.decode(DASHBOARD.read_bytes())
    (variable,) = dashboard["templating"]["list"]
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert variable["current"]["value"] == source["uid"]
    chosen = {"type": source["type"], "uid": f"${{{variable['name']}}}"}
    targets = [target for panel in panels() for target in panel.get("targets", ())]
    assert targets
    assert all(target["datasource"] == chosen for target in targets)
