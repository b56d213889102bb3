"""`ddpm edit`, as a person types it: what is kept, where a path begins and ends, and what is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ddpm_core.diffusion.bounds import clip_to
from ddpm_core.diffusion.editing import noised
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.noise import initial, step_noise
from ddpm_core.samplers.config import named
from pipelines.cli import main
from pipelines.kinds.pictures.rows.decode import encode_png
from pipelines.kinds.pictures.serving import ServingPictures
from pipelines.sampling.bundle_sampler import Sampler
from tests.support.tiny_bundle import tiny_bundle

PICTURE = np.arange(64, dtype=np.uint8).reshape(1, 8, 8) * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("edit")
    tiny_bundle(folder / "b")
    mask = np.zeros((1, 8, 8), np.uint8)
    mask[:, 4:] = 255
    others = {"wide": np.zeros((1, 8, 9), np.uint8), "colour": np.zeros((3, 8, 8), np.uint8), "soft": mask // 2}
    pictures = {"picture": PICTURE, "mask": mask, "black": mask * 0, "white": mask * 0 + 255, **others}
    for name, pixels in pictures.items():
        (folder / f"{name}.png").write_bytes(encode_png(pixels))
    Image.new("LA", (8, 8)).save(folder / "clear.png")
    (folder / "text.png").write_text("no picture")
    return folder


def edited(folder: Path, *options: str, out: str = "x.npz", verb: str = "edit") -> NDArray[np.uint8]:
    at = [str(folder / word) if word.endswith(".png") else word for word in options]
    args = [verb, *at, "--bundle", str(folder / "b"), "--device", "cpu", "--out", str(folder / out)]
    assert main(args) == 0
    with np.load(folder / out) as arrays:
        images: NDArray[np.uint8] = arrays["images"]
    return images


INPAINT = ("inpaint", "--picture", "picture.png", "--mask", "mask.png")


@pytest.mark.parametrize("more", [[], ["--sampler", "ancestral", "--resample", "3"]])
def test_inpainting_keeps_what_is_black_and_makes_the_rest_anew_for_each_seed(folder: Path, more: list[str]) -> None:
    images = edited(folder, *INPAINT, "--n", "3", "--label", "two", *more)
    assert (images[:, :, :4] == PICTURE[:, :4]).all()
    assert len({image[:, 4:].tobytes() for image in images}) == 3
    alone = edited(folder, *INPAINT, "--n", "1", "--seed", "2", "--label", "two", *more)
    assert np.abs(alone[0].astype(int) - images[2]).max() <= 1


def test_a_mask_that_is_all_white_gives_the_pictures_of_ddpm_sample(folder: Path) -> None:
    asked = ("--n", "3", "--label", "1", "--seed", "4", "--sampler", "unipc_2", "--steps", "5", "--guidance", "0.7")
    whole = edited(folder, "inpaint", "--picture", "picture.png", "--mask", "white.png", *asked)
    np.testing.assert_array_equal(whole, edited(folder, *asked, verb="sample"))


@pytest.mark.parametrize("kind", ["ddim", "unipc_2", "heun"])
def test_a_path_begins_and_ends_in_the_pictures_of_its_seeds(folder: Path, kind: str) -> None:
    asked = ("--label", "0", "--sampler", kind, "--steps", "5")
    path = edited(folder, "interpolate", "--seed", "3", "--to-seed", "9", "--n", "4", *asked)
    for place, seed in ((0, 3), (-1, 9)):
        end = edited(folder, "--n", "1", "--seed", str(seed), *asked, verb="sample")
        assert np.abs(path[place].astype(int) - end[0]).max() <= 1
    assert len({image.tobytes() for image in path}) == 4


def test_a_variation_starts_from_the_picture_and_its_noise_at_the_level_of_the_strength(folder: Path) -> None:
    images = edited(folder, "vary", "--picture", "picture.png", "--strength", "0.6", "--n", "2", "--label", "1",
                    "--seed", "5", "--sampler", "ancestral", "--steps", "5")  # fmt: skip
    sampler = Sampler.open(folder / "b", "cpu")
    bundle, seeds = sampler.bundle, [5, 6]
    plan = named("ancestral", 5, sampler.defaults.sampler).over([30, 20, 10, 0], bundle.schedule, "fixed_small")
    x = noised(bundle.schedule, bundle.spec.encode(PICTURE[None]), 30, initial(seeds, (1, 8, 8)))
    x0 = generate(
        plan,
        bundle.parameterisation,
        lambda x, t: sampler.network(x, t, {"label": np.array([1, 1])}),
        x,
        lambda step: step_noise(seeds, step, (1, 8, 8)),
        bound=clip_to((-1.0, 1.0)),
    )
    np.testing.assert_array_equal(images, bundle.spec.decode(x0))


def test_inversion_and_back_under_the_same_label_is_the_picture(folder: Path) -> None:
    asked = ("--sampler", "ddim", "--steps", "50", "--guidance", "0", "--n", "2", "--label", "1,2")
    (made,) = edited(folder, "--n", "1", "--label", "1", "--sampler", "ddim", "--steps", "50", verb="sample")
    (folder / "made.png").write_bytes(encode_png(made))
    same, other = edited(folder, "vary", "--picture", "made.png", "--invert", "--picture-label", "one", "--strength",
                         "0.5", *asked).astype(int)  # fmt: skip
    assert np.abs(same - made).mean() < 3
    assert np.abs(other - made).mean() > 3 * np.abs(same - made).mean()


def test_a_png_says_what_made_it(folder: Path) -> None:
    args = ["--bundle", str(folder / "b"), "--device", "cpu", "--out", str(folder / "one.png"), "--n", "1"]
    at = [str(folder / word) if word.endswith(".png") else word for word in INPAINT]
    assert main(["edit", *at, *args]) == 0
    text = Image.open(io.BytesIO((folder / "one.png").read_bytes())).info
    assert (text["ddpm edit"], text["ddpm seed"], text["ddpm resample"]) == ("inpaint", "0", "1")
    assert len(text["ddpm picture"]) == len(text["ddpm mask"]) == 16
    assert text["ddpm bundle"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["inpaint", "--picture", "picture.png"], "--mask: must be given for inpaint"),
        (["interpolate"], "--to-seed: must be given for interpolate"),
        ([*INPAINT, "--strength", "0.5"], "--strength: belongs to vary, not to inpaint"),
        (
            ["inpaint", "--picture", "wide.png", "--mask", "mask.png"],
            "--picture: must be 8 x 8 pixels, grey, as the model",
        ),
        (["inpaint", "--picture", "colour.png", "--mask", "mask.png"], "got 8 x 8 pixels, colour; resize it"),
        (["inpaint", "--picture", "clear.png", "--mask", "mask.png"], "got LA; save it as a PNG, grey or RGB"),
        (["inpaint", "--picture", "text.png", "--mask", "mask.png"], "must be a PNG that can be read"),
        (["inpaint", "--picture", "none.png", "--mask", "mask.png"], "--picture: file not found"),
        (
            ["inpaint", "--picture", "picture.png", "--mask", "wide.png"],
            "--mask: must be 8 x 8 pixels, grey, got 9",
        ),
        (["inpaint", "--picture", "picture.png", "--mask", "soft.png"], "filled) alone, got 32 other pixels"),
        (["inpaint", "--picture", "picture.png", "--mask", "black.png"], "must have white pixels"),
        ([*INPAINT, "--resample", "0"], "--resample: must be at least 1"),
        ([*INPAINT, "--resample", "2", "--sampler", "dpmpp_2m"], "dpmpp_2m looks at the row before; take ancestral"),
        ([*INPAINT, "--label", "nine"], "--label: must be `cycle`, `none`, or classes by name or by number"),
        ([*INPAINT, "--n", "257"], "--n: must be from 1 to 256, got 257"),
        ([*INPAINT, "--out", "x.jpg"], "--out: must end in .png, .npz or .zip, or name a folder"),
        (["vary", "--picture", "picture.png", "--strength", "0"], "--strength: must be above 0 and at most 1, got 0"),
        (["vary", "--picture", "picture.png", "--picture-label", "1"], "--picture-label: belongs to --invert"),
        (["vary", "--picture", "picture.png", "--invert", "--sampler", "ancestral"], "draws no noise after the first"),
        (["vary", "--picture", "picture.png", "--invert", "--picture-label", "7"], "--picture-label: must be"),
        (["interpolate", "--to-seed", "-1"], "--to-seed: must be from 0 to 2^64 - n, got -1"),
        (["interpolate", "--to-seed", "1", "--n", "1"], "--n: must be from 2 to 256, got 1"),
        (["interpolate", "--to-seed", "1", "--out", "pictures"], "--out: must be one file"),
    ],
)
def test_what_cannot_be_done_is_told_and_ends_with_2(
    folder: Path, options: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    at = [str(folder / word) if word.endswith(".png") else word for word in options]
    out = [] if "--out" in options else ["--out", str(folder / "never.png")]
    assert main(["edit", *at, "--bundle", str(folder / "b"), "--device", "cpu", *out]) == 2
    assert message in capfd.readouterr().err
    assert not (folder / "never.png").exists()


def test_a_kind_that_has_no_editing_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ServingPictures, "editing", None)
    assert main(["edit", "interpolate", "--to-seed", "1", "--bundle", str(folder / "b"), "--out", "x.png"]) == 2
    told = "--bundle: must be a bundle of data that can be edited, got one of pictures"
    assert told in capfd.readouterr().err
