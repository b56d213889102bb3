"""`ddpm sample` and the arguments of `ddpm serve`, as a person types them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest

from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.variance import Variance
from ddpm_core.samplers import SamplerConfig
from ddpm_core.samplers.base import Sampler, add_ddim, steps_of
from pipelines.cli import main
from pipelines.kinds.pictures.rows.decode import decode_png
from tests.support.tiny_bundle import tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sample") / "b"
    tiny_bundle(folder, golden=True)
    return str(folder)


def sample(bundle: str, *options: str) -> int:
    return main(["sample", "--bundle", bundle, "--device", "cpu", *options])


def test_npz_folder_zip_and_grid_hold_the_same_pictures(bundle: str, tmp_path: Path) -> None:
    asked = ("--n", "4", "--label", "two,0", "--steps", "3", "--sampler", "heun", "--seed", "5", "--guidance", "1")
    for name in ("a.npz", "b.npz", "folder", "a.zip", "a.png"):
        assert sample(bundle, *asked, "--out", str(tmp_path / name)) == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["images"].shape == (4, 1, 8, 8)
        assert arrays["labels"].tolist() == [2, 0, 2, 0]
        assert arrays["seeds"].tolist() == [5, 6, 7, 8]
        files = sorted((tmp_path / "folder").iterdir())
        assert [file.name for file in files] == ["0005-2.png", "0006-0.png", "0007-2.png", "0008-0.png"]
        for file, image in zip(files, arrays["images"], strict=True):
            np.testing.assert_array_equal(decode_png(file.read_bytes()), image)


@dataclass(frozen=True)
class Wandering(Sampler):
    """A sampler that the package does not know: DDIM with a noise of its own."""

    kind: Literal["wandering"]
    eta: float
    order: ClassVar[int] = 1
    conventional: ClassVar = {"eta": 0.5}

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        for t, s in steps_of(levels):
            add_ddim(rows, t, s, self.eta)
        return rows.finish()


def test_a_new_sampler_needs_its_class_and_its_name_in_the_union(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddpm_core.samplers.config.SamplerConfig", SamplerConfig | Wandering)
    for kind in ("wandering", "ddim"):
        assert sample(bundle, "--n", "2", "--sampler", kind, "--out", str(tmp_path / f"{kind}.npz")) == 0
    with np.load(tmp_path / "wandering.npz") as ours, np.load(tmp_path / "ddim.npz") as theirs:
        assert ours["images"].shape == theirs["images"].shape
        assert (ours["images"] != theirs["images"]).any()


def test_batch_size_changes_no_byte(bundle: str, tmp_path: Path) -> None:
    for size in ("1", "3", "64"):
        assert sample(bundle, "--n", "7", "--batch-size", size, "--out", str(tmp_path / f"{size}.npz")) == 0
    assert len({(tmp_path / f"{size}.npz").read_bytes() for size in (1, 3, 64)}) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n", "0"], "--n: must be at least 1, got 0"),
        (["--threads", "0"], "--threads: must be at least 1, got 0"),
        (["--processes", "0"], "--processes: must be at least 1, got 0"),
        (["--batch-size", "0"], "--batch-size: must be at least 1, got 0"),
        (["--seed", "-1"], "--seed: must be from 0 to 2^64 - n, got -1"),
        (["--label", "twoo"], "did you mean 'two'?"),
        (["--label", "0,9"], "--label: must be `cycle`, `none`, or classes by name or by number (0 to 2), got '9'"),
        (["--sampler", "dimm"], "got 'dimm'; did you mean 'ddim'?"),
        (["--steps", "0"], "steps: must be at least 1, got 0"),
        (["--steps", "99"], "steps: must be from 1 to the schedule's 50 levels, got 99"),
        (["--guidance", "-2"], "weight: must be 0 or more, got -2"),
        (["--out", "x.jpg"], "--out: must end in .png, .npz or .zip, or name a folder without a dot, got x.jpg"),
        (["--out", "/proc/no/such.png"], "--out: must be a place that can be written, got /proc/no/such.png"),
    ],
)
def test_what_cannot_be_done_is_told_and_ends_with_2(
    bundle: str, options: list[str], message: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = [] if "--out" in options else ["--out", str(tmp_path / "never.png")]
    assert sample(bundle, *out, *options) == 2
    assert message in capfd.readouterr().err
    assert not (tmp_path / "never.png").exists()


def test_a_bundle_that_is_not_there_or_is_damaged_ends_with_1(
    bundle: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert sample(str(tmp_path / "none"), "--out", str(tmp_path / "x.png")) == 1
    assert "must be a file of the bundle, got none; make the bundle again" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "70000"], "--port: must be from 0 to 65535, got 70000"),
        (["--threads", "0"], "--threads: must be at least 1, got 0"),
        (["--queue", "0"], "--queue: must be at least 1, got 0"),
        (["--max-cost", "0"], "--max-cost: must be at least 1, got 0"),
        (["--at-once", "0"], "--at-once: must be at least 1, got 0"),
        (["--timeout", "nan"], "--timeout: must be a number, got 'nan'"),
    ],
)
def test_serve_refuses_what_cannot_be_served(
    bundle: str, options: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--bundle", bundle, *options]) == 2
    assert message in capfd.readouterr().err
