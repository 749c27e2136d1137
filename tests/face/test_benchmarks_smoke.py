"""The benchmarks run at their small sizes, those against peers say so where a peer is missing, and sweeps do sweep."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from pkgutil import walk_packages
from xml.etree import ElementTree

import aiohttp
import pytest
from support.redis_server import needs_redis

import kallglot_async
from benchmarks import (
    _lane_scenes,
    _peers,
    _scenes,
    constants,
    documented,
    durable,
    independent,
    limits,
    overload,
    patience,
    pictures,
    policies,
    sharing,
    storm,
)
from benchmarks._peer_server import DIALECTS, PeerServer
from benchmarks._trials import in_virtual_time, oracle_wall
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async.emulator import Latency

MISSING = _peers.Sdk("not-a-package", "not_a_module", "wait", _peers._openai)


@pytest.fixture(autouse=True)
def _no_sdks(monkeypatch):
    """The SDKs are not dependencies of the tests."""
    monkeypatch.setattr(_peers, "SDKS", (MISSING,))


@pytest.mark.slow
def test_the_storm_is_delivered_whole_and_names_what_is_missing():
    """Ours delivers all without a refusal, as the floor does; a missing peer has a row."""
    rows = {row["candidate"]: row for row in storm.run(quick=True)}
    for name in (*storm.OURS, "floor: told the limit"):
        assert (rows[name]["delivered"], rows[name]["refused"]) == (40, 0)
    assert rows["documented loop, 429 raises"]["delivered"] == 10
    assert rows["not-a-package"]["lost_to"] == "not installed"


@pytest.mark.slow
@needs_redis
async def test_processes_share_and_are_measured():
    """Two of them deliver all without a refusal, also where Redis is restarted meanwhile."""
    row = await sharing.measure("paced", 2, ids=200)
    assert (row["delivered"], row["refused_%"]) == (200, 0.0)
    assert row["commands"] > 0.0
    row = await sharing.measure("paced", 2, ids=800, fault="restarted empty")
    assert (row["delivered"], row["refused_%"], row["commands"]) == (800, 0.0, None)


def test_uneven_shares_of_twenty_miss_their_bar():
    """A figure beyond each bar is named."""
    row = {
        "delivered": 2000, "refused_%": 0.0, "least_used": 0.9, "share": 2.4, "commands": 1.9, "queued_ms": 5.0,
        "silence_s": 0.1,
    }  # fmt: skip
    told = sharing.bar(row, "paced", 20, 2000, is_fault=False)
    assert told.startswith("missed")
    assert "share" in told
    assert "unused" in told
    assert "commands" not in told
    assert sharing.bar(row | {"least_used": 0.96, "share": 1.1}, "paced", 20, 2000, is_fault=False) == "met"


@pytest.mark.slow
def test_an_outage_costs_ours_nothing_but_time():
    """All is delivered, cold and warm, with and without an announced limit; a missing peer has a row."""
    rows = {row["candidate"]: row for row in patience.run(quick=True)}
    for name, (_, count) in patience.OURS.items():
        row = rows[f"kallglot_async, {name}"]
        assert (row["delivered"], row["bar"]) == (count // 5, "met")
    assert rows["documented loop, Retry-After 3 times"]["delivered"] == 0
    assert rows["not-a-package"]["lost_to"] == "not installed"


@pytest.mark.slow
def test_more_calls_than_the_limit_serves_cost_ours_nothing():
    """All that can be is delivered, and nothing paid for in vain; the documented calls lose most of it."""
    *alone, apart, beside_reads = overload.run(quick=True)
    rows = {row["candidate"]: row for row in alone}
    for name in overload.OURS:
        assert (rows[name]["bar"], rows[name]["in_vain"], rows[name]["refused"]) == ("met", 0, 0)
    assert rows[overload.PEER]["of_possible"] < 0.5
    assert (apart["clients"], apart["bar"]) == (overload.APART, "met")
    assert (beside_reads["reads"], beside_reads["bar"]) == (overload.READS, "met")


@pytest.mark.slow
def test_the_documented_scale_runs_with_and_without_history(monkeypatch):
    """One start of each situation of ours: 60 delivered, no refusal, and a lag that is never negative."""
    monkeypatch.setattr(documented, "OFFSETS", (15,))
    rows = documented.ours_rows(range(7, 8))
    assert len(rows) == 4 * 2
    for row in rows:
        assert (row["delivered_min"], row["refused_max"]) == (60, 0)
        assert row["lag_p50"] >= 0.0
    assert [row["creations"] for row in rows[::2]] == ["", 60, "", 60]


def test_every_dialect_spends_the_same_budget():
    """A poll in another service's path is journalled, limited and answered as the emulator's own."""
    paths = {
        "openai": "vector_stores/vs_1/files/{id}",
        "assemblyai": "v2/transcript/{id}",
        "replicate": "v1/predictions/{id}",
        "fal": "app/requests/{id}/status",
    }
    assert set(paths) == set(DIALECTS)

    async def main():
        async with (
            PeerServer(
                rate_limit=(4, 60.0), latency=Latency.immediate(), round_trip=0.5, epoch=1_800_000_000.0
            ) as server,
            aiohttp.ClientSession() as session,
        ):
            [id] = server.seed_analyses(1)
            statuses = []
            for service, path in [*paths.items(), *paths.items()]:
                async with session.get(f"{server.prefix(service)}/{path.format(id=id)}") as response:
                    statuses.append((response.status, (await response.json()).get("status")))
            assert asyncio.get_running_loop().time() == pytest.approx(8 * 0.5)
            return statuses, [entry.accepted for entry in server.journal]

    statuses, accepted = in_virtual_time(main)
    assert statuses[:4] == [(200, "completed"), (200, "completed"), (200, "succeeded"), (200, "COMPLETED")]
    assert statuses[4:] == [(429, None)] * 4
    assert accepted == [True] * 4 + [False] * 4


@pytest.mark.parametrize(("window", "wall"), [("fixed", 60.0), ("sliding", 61.0), ("token_bucket", 31.0)])
def test_the_oracle_waits_for_nothing_but_the_limit(window, wall):
    """Three requests ready after a second, two a minute: the third goes once the limit has room for it."""
    assert oracle_wall([1.0, 1.0, 1.0], (2, 60.0), window, start=1_790_000_040.0) == pytest.approx(wall, abs=1e-3)


def homes(name):
    """Return every module of the package that has a name of this spelling, beside its tables of exports."""
    modules = [found.name for found in walk_packages(kallglot_async.__path__, "kallglot_async.")]
    loaded = [name for name in modules if name in sys.modules]
    return {module.removeprefix("kallglot_async.") for module in loaded if name in vars(sys.modules[module])}


@pytest.mark.parametrize("name", constants.CONSTANTS)
def test_a_sweep_sets_a_constant_wherever_it_is_read_and_puts_it_back(name):
    """A module that imported it by name has the other value too, and afterwards everything is as shipped."""
    constant, kept = constants.CONSTANTS[name], constants.shipped(name)
    places = {constant.module, *constant.also}
    if not name.startswith("_"):
        assert homes(name) == places
    with pytest.raises(ZeroDivisionError), constants.set_to(name, kept / 2):
        assert [getattr(constants.home(place), name) for place in places] == [kept / 2] * len(places)
        raise ZeroDivisionError
    assert constants.shipped(name) == kept


def with_one_scene(monkeypatch, name, scene, *values):
    """Let the sweep of a constant be a short one."""
    monkeypatch.setitem(constants.CONSTANTS, name, replace(constants.CONSTANTS[name], values=values, scenes=(scene,)))


def test_what_follows_from_a_constant_follows_in_a_sweep(monkeypatch):
    """Polls that must be worth more come later and are fewer."""
    with_one_scene(monkeypatch, "WORTH", _scenes.wrong_law)
    found = constants.sweep("WORTH", [0.9], range(7, 8))["wrong_law"]
    assert list(found) == [0.25, 0.9]
    assert found[0.9]["now slow req"] < found[0.25]["now slow req"]
    assert found[0.9]["now slow p95"] > found[0.25]["now slow p95"]


def test_the_sweep_command_prints_a_line_for_each_value(monkeypatch, capsys):
    """Its table has a heading with the unit and what a figure is, and marks the shipped value."""
    with_one_scene(monkeypatch, "SAVING", _scenes.wrong_law, 0.5)
    monkeypatch.setattr(sys, "argv", ["policies", "--sweep", "SAVING", "--quick"])
    policies.main()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "SAVING in _core.polling.worth, share of the rate; shipped: 0.1"
    assert printed[2].startswith("wrong_law: 60 ids under 150 per 60 s")
    assert (printed[4].split()[:2], printed[5].split()[0]) == (["0.1", "*"], "0.5")


@pytest.mark.parametrize(
    "scene", ["steady, paced: fixed 150/60s", "stranger 30%: token_bucket", "400 waits: token_bucket"]
)
@pytest.mark.slow
def test_the_table_of_limits_holds_each_figure_against_its_bar(scene):
    """A server of each sort, one seed: what it is near to today, it stays near to."""
    rows = limits.run(quick=True, only=scene)
    assert {row["is"] for row in rows} == {"met"}
    for row in rows:
        assert row["worst"] == row["mean"] >= 0.0


def test_a_figure_that_misses_its_bar_is_said_to(monkeypatch):
    """The worst seed is what counts."""
    bars = (limits.Bar("use", least=0.9), limits.Bar("refused %", most=1.0))
    trial = limits.Trial("scene", "server", lambda seed: {"use": 1.0 - 0.02 * seed, "refused %": 0.1 * seed}, bars)
    monkeypatch.setattr(limits, "trials", lambda: iter([trial]))
    use, refused = limits.run(quick=False, seeds=range(3, 7))
    assert (use["mean"], use["worst"], use["bar"], use["is"]) == (pytest.approx(0.91), 0.88, ">= 0.9", "missed")
    assert (refused["worst"], refused["is"]) == (pytest.approx(0.6), "met")


@pytest.mark.parametrize("tells", [True, False], ids=["announced", "not announced"])
def test_a_lane_with_endless_demand_uses_most_of_a_limit_and_no_more(tells):
    """10 requests a second, refused seldom: by the figures where there are any, by refusals where there are none."""
    counter = _lane_scenes.Counter(50, 5.0, tells_nothing=not tells)
    figures = _lane_scenes.use(counter, Urgency.PACED, 7, 20.0, 10.0)
    assert 60.0 < figures["used%"] <= 100.0
    assert figures["refused%"] <= (0.0 if tells else 5.0)


@pytest.mark.slow
def test_processes_that_share_nothing_are_served_alike_once_each_has_its_share():
    """With a share none is refused and all get as much; without one some are, and the server counts each of them."""
    alone, shared = (independent.measure((60, 10.0), 4, 7, has_ceiling=has_ceiling) for has_ceiling in (False, True))
    assert 0.0 < alone["refused %"] < 100.0
    assert shared["refused %"] == 0.0
    assert 0.9 < shared["smallest share"] <= 1.0
    assert 0.9 < shared["use"] <= 1.0


@pytest.mark.slow
def test_the_other_scenes_return_figures():
    """Every delay is a number, and all 300 analyses that were asked for are delivered."""
    for scene in (_scenes.orders, _scenes.settled_before):
        assert all(0.0 <= figure < 900.0 for figure in scene(range(7, 8)).values())


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["kills", "creates"])
def test_a_killed_batch_loses_and_repeats_nothing(scene):
    """Four kills: every id once, no analysis created twice, and no more fetched again than was in flight."""
    rows = {row["figure"]: row for row in asyncio.run(durable.SCENES[scene](quick=True, seed=7))}
    assert {figure for figure, row in rows.items() if row[""] == "missed"} == set()
    assert rows["kills"]["value"] == 4


@pytest.mark.slow
def test_the_figures_of_a_file_are_taken():
    """Small ones, which hold no machine to a bar."""
    rows = {row["figure"]: row["value"] for row in asyncio.run(durable.SCENES["rows"](quick=True, seed=7))}
    rows |= {row["figure"]: row["value"] for row in asyncio.run(durable.SCENES["million"](quick=True, seed=7))}
    assert rows["outcomes"] == 2_000
    assert rows["ids"] == 50_000
    assert all(value > 0.0 for value in rows.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_shows_its_lines_to_those_who_do_not_see_it(name):
    """What stands at the lines is in the description, in a quick run and in the one that the documentation shows."""
    kept = (Path(__file__).parents[2] / "docs" / "pictures" / f"{name}.svg").read_text()
    for text in (pictures.PICTURES[name](quick=True), kept):
        picture = ElementTree.fromstring(text)  # noqa: S314  # our own
        title, description, *_ = picture
        assert title.text
        assert description.text
        names = [text.text for text in picture.findall("{*}text") if "var(--l" in text.get("style")]
        assert len(names) >= 2
        assert all(name in description.text for name in names)
