"""The helper of the comparisons: sides take turns, warm-ups do not count, ratios are of medians."""

import gc
import re
import time

import pytest

from benchmarks.common import Times, interleaved, machine, needs, table, timed


def test_sides_take_turns_in_opposite_orders_and_warm_ups_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "collect", lambda: 0)
    order: list[str] = []
    times = interleaved({name: lambda name=name: order.append(name) for name in "abc"}, repeats=2, warmups=1)
    assert "".join(order) == "abccbaabc"
    assert {name: len(t.cpu) for name, t in times.items()} == {"a": 2, "b": 2, "c": 2}


def test_medians_and_spread() -> None:
    times = Times((3.0, 1.0, 2.0), (6.0, 5.0, 40.0))
    assert (times.median_cpu, times.median_wall, times.spread) == (2.0, 6.0, 1.0)


def test_sleep_takes_wall_and_no_cpu_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"cpu": 0.0, "wall": 0.0}
    monkeypatch.setattr(time, "process_time", lambda: clock["cpu"])
    monkeypatch.setattr(time, "perf_counter", lambda: clock["wall"])
    assert timed(lambda: clock.update(cpu=1.0, wall=9.0)) == (1.0, 9.0)


def test_a_result_names_machine_date_and_versions() -> None:
    text = machine("numpy", "no-such-package")
    assert re.search(r"\d+ cores, threads \d+; \d{4}-\d\d-\d\d; numpy \d[^,]*, no-such-package not installed$", text)


def test_a_missing_peer_is_told() -> None:
    needs("numpy")
    with pytest.raises(SystemExit, match=r"no-such-package is not installed: .*make install-peers"):
        needs("no-such-package")


def test_table_is_markdown() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
