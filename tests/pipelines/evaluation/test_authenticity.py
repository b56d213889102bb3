"""A measurement is read back as it was written, or not at all: a change is refused by the name of the file."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm_core.errors import DataError, IntegrityError
from ddpm_core.metrics.intervals import Replicates, around
from ddpm_core.metrics.measurement import encoded
from pipelines.evaluation.authenticity import read_measured, with_own_digest, write_measured


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return measured(tmp_path / "out", 5.0)


def measured(out: Path, value: float) -> Path:
    (out / "samples" / "more").mkdir(parents=True)
    (out / "samples" / "grid.png").write_bytes(b"png")
    (out / "samples" / "more" / "images.npz").write_bytes(b"npz")
    found = Replicates(np.random.default_rng(0).normal(0, 0.2, 40), np.zeros(40))
    ends = around(value, found, 0.95)
    record: dict[str, Any] = {
        "conditions": {"settings": {"confidence": 0.95}},
        "metrics": [{"name": name, "meaning": "a number"} for name in ("n", "fcd")],
        "provenance": {"bundle": "b" * 64},
        "replicates": encoded({"fcd": found}),
    }
    write_measured(out, {"n": 40.0, "fcd": value, "fcd_low": ends.low, "fcd_high": ends.high}, record)
    return out


def back(out: Path, **options: Any) -> Any:
    return read_measured(out / "metrics.json", out / "record.json", out / "samples", **options)


def edited(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


def test_what_was_written_is_read_back(out: Path) -> None:
    found = back(out)
    assert found.metrics["fcd"] == 5.0
    assert found.record["files"].keys() == {"metrics.json", "samples/grid.png", "samples/more/images.npz"}
    assert found.record["follows"] == {"fcd_low": "around", "fcd_high": "around"}


def test_the_same_measurement_gives_the_same_bytes(out: Path, tmp_path: Path) -> None:
    again = measured(tmp_path / "again", 5.0)
    for name in ("metrics.json", "record.json"):
        assert (again / name).read_bytes() == (out / name).read_bytes()


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("metrics.json", lambda path: edited(path, lambda m: m.update(fcd=0.01))),
        ("metrics.json", lambda path: path.write_bytes(path.read_bytes() + b"\n")),
        ("record.json", lambda path: edited(path, lambda r: r["provenance"].update(bundle="f" * 64))),
        ("record.json", lambda path: edited(path, lambda r: r.pop("content_sha256"))),
        ("record.json", lambda path: edited(path, lambda r: r.update(content_sha256="0" * 64))),
        ("record.json", lambda path: path.write_bytes(path.read_bytes() + b" ")),
        ("record.json", lambda path: path.write_bytes(with_own_digest({"provenance": {}}))),
        ("samples/grid.png", lambda path: path.write_bytes(b"other")),
        ("samples/grid.png", lambda path: path.unlink()),
        ("samples/added.png", lambda path: path.write_bytes(b"png")),
        ("samples/more/images.npz", lambda path: path.write_bytes(b"")),
    ],
)
def test_a_single_change_is_refused_by_the_name_of_its_file(
    out: Path, file: str, change: Callable[[Path], object]
) -> None:
    change(out / file)
    with pytest.raises(IntegrityError, match=rf"{re.escape(str(out / file))}: must .*`ddpm run`"):
        back(out)


def test_a_file_of_another_measurement_is_refused(out: Path, tmp_path: Path) -> None:
    other = measured(tmp_path / "other", 4.0)
    for name in ("metrics.json", "record.json"):
        kept = (out / name).read_bytes()
        (out / name).write_bytes((other / name).read_bytes())
        with pytest.raises(IntegrityError, match=r"metrics\.json: must have SHA-256 \w{64}, which .*record\.json"):
            back(out)
        (out / name).write_bytes(kept)
    assert back(out)


def test_numbers_that_do_not_follow_are_refused_though_every_digest_agrees(out: Path) -> None:
    """Who forges a metric and its digests must forge the replicates too."""
    metrics, record = out / "metrics.json", json.loads((out / "record.json").read_bytes())
    edited(metrics, lambda m: m.update(fcd=0.01, fcd_low=0.001, fcd_high=0.02))
    from ddpm_core.files import sha256_file

    record["files"]["metrics.json"] = sha256_file(metrics)
    (out / "record.json").write_bytes(with_own_digest(record))
    with pytest.raises(IntegrityError, match=r"metrics\.json: must say what follows from .*fcd_high 0\.02, not 0\.3"):
        back(out)


def test_of_samples_that_are_there_in_part_each_file_must_be_as_it_was(out: Path) -> None:
    (out / "samples" / "more" / "images.npz").unlink()
    (out / "samples" / "preview.png").write_bytes(b"of the training")
    assert back(out, whole=False)
    (out / "samples" / "grid.png").write_bytes(b"other")
    with pytest.raises(IntegrityError, match=r"grid\.png: must have SHA-256"):
        back(out, whole=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "there must be a measurement"), ("{", "must be JSON, but"), ("[]", "must be a JSON object, got list")],
)
@pytest.mark.parametrize("name", ["metrics.json", "record.json"])
def test_what_is_no_measurement_is_told(out: Path, name: str, text: str | None, said: str) -> None:
    (out / name).unlink() if text is None else (out / name).write_text(text)
    with pytest.raises(DataError, match=rf"{name}: {said}.*ddpm evaluate"):
        back(out)
