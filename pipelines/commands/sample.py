"""`ddpm sample`: pictures from a bundle, with numpy and onnxruntime alone."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, project_paths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ddpm_core.samplers import SamplerConfig
    from pipelines.serving.sampler import Sampler

log = logging.getLogger(__name__)

SAMPLERS = "ancestral, ddim, dpmpp_1, dpmpp_2m, dpmpp_2s, heun, euler, langevin, predictor_corrector"


def add_to(verbs: Verbs) -> None:
    text = "sample pictures from a bundle"
    verb = verbs.add_parser("sample", help=text, description=text.capitalize() + ".")
    verb.add_argument("--bundle", metavar="FOLDER", help="the bundle (default: the one that the project just built)")
    verb.add_argument("--n", type=int, default=64, help="how many pictures (default: 64)")
    verb.add_argument(
        "--label",
        default="cycle",
        help="a class by number or name, a list `3,1,4`, `none`, or `cycle` through all (default: cycle)",
    )
    verb.add_argument("--sampler", metavar="KIND", help=f"{SAMPLERS} (default: the bundle's)")
    verb.add_argument("--steps", type=int, help="network evaluations, about (default: the bundle's)")
    verb.add_argument("--guidance", type=float, help="weight of classifier-free guidance, 0 = off (default: bundle's)")
    verb.add_argument("--seed", type=int, default=0, help="picture i has the seed SEED + i (default: 0)")
    verb.add_argument(
        "--out", default="grid.png", help="a .png grid, an .npz, or a folder of files (default: grid.png)"
    )
    verb.add_argument("--batch-size", type=int, default=64, help="pictures at a time; changes none (default: 64)")
    verb.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    verb.add_argument("--threads", type=int, default=1, help="threads of one network evaluation (default: 1)")
    verb.set_defaults(action=sample)


def sample(args: argparse.Namespace) -> None:
    """Open the bundle, sample, write; the torch room is never imported."""
    for option, value in (("--n", args.n), ("--batch-size", args.batch_size), ("--threads", args.threads)):
        if value < 1:
            raise ParamsError(f"{option}: must be at least 1, got {value}")
    if args.seed < 0 or args.seed + args.n > 2**64:
        raise ParamsError(f"--seed: must be from 0 to 2^64 - n, got {args.seed}")
    out = Path(args.out)
    if out.suffix not in (".png", ".npz", ""):
        raise ParamsError(f"--out: must end in .png or .npz, or name a folder without a dot, got {args.out}")
    bundle = Path(args.bundle) if args.bundle else project_paths(args).bundle
    from pipelines.quiet import limit_threads

    limit_threads(args.threads)
    from pipelines.serving.sampler import Sampler

    sampler = Sampler.open(bundle, args.device, args.threads)
    spec = sampler.bundle.spec
    labels = parse_labels(args.label, args.n, spec.classes if sampler.bundle.conditional else ())
    seeds = [args.seed + i for i in range(args.n)]
    images = sampler.sample(
        labels,
        seeds,
        sampler=chosen_sampler(sampler, args.sampler, args.steps),
        guidance=args.guidance,
        batch_size=args.batch_size,
        progress=True,
    )
    write(out, images, labels, seeds)
    log.info("%d pictures of bundle %s in %s", args.n, sampler.bundle.digest[:16], out)


def chosen_sampler(sampler: "Sampler", kind: str | None, steps: int | None) -> "SamplerConfig | None":
    """The sampler that was named, with the bundle's steps where none were; None is the bundle's own."""
    if kind is None and steps is None:
        return None
    from ddpm_core.samplers.config import named

    default = sampler.defaults.sampler
    return named(kind or default.kind, default.steps if steps is None else steps, default)


def parse_labels(text: str, n: int, classes: Sequence[str]) -> list[int | None]:
    """`cycle`, `none`, one class by number or name, or a list of them that is repeated until there are n."""
    if text == "none" or (text == "cycle" and not classes):
        return [None] * n
    if not classes:
        raise ParamsError(f"--label: this model was trained without labels, got {text!r}; leave the option out")
    if text == "cycle":
        return [i % len(classes) for i in range(n)]
    asked = [_label(word.strip(), classes) for word in text.split(",")]
    return [asked[i % len(asked)] for i in range(n)]


def _label(word: str, classes: Sequence[str]) -> int | None:
    if word == "none":
        return None
    if word in classes:
        return list(classes).index(word)
    if word.isdecimal() and int(word) < len(classes):
        return int(word)
    shown = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
    raise ParamsError(
        f"--label: must be `cycle`, `none`, or classes by name ({shown}) or number (0 to {len(classes) - 1}), got {word!r}"
    )


def write(out: Path, images: "NDArray[np.uint8]", labels: Sequence[int | None], seeds: Sequence[int]) -> None:
    """A grid, an archive of arrays (label -1 = none), or a folder with a file for each picture."""
    from pipelines.tools.decode import encode_png, grid

    if out.suffix == ".png":
        _atomically(out, grid(images, columns=columns_for(len(images)), scale=max(1, 64 // images.shape[-1])))
    elif out.suffix == ".npz":
        _atomically(out, _archive(images, labels, seeds))
    else:
        for image, label, seed in zip(images, labels, seeds, strict=True):
            name = f"{seed:08d}-{'none' if label is None else label}.png"
            _atomically(out / name, encode_png(image))


def columns_for(n: int) -> int:
    """As near to a square as it goes, ten at least where there are so many: a row a cycle of ten classes."""
    return min(n, max(10, round(n**0.5))) if n % 10 == 0 else max(1, round(n**0.5))


def _archive(images: "NDArray[np.uint8]", labels: Sequence[int | None], seeds: Sequence[int]) -> bytes:
    import io

    import numpy as np

    buffer = io.BytesIO()
    named = np.array([-1 if label is None else label for label in labels], dtype=np.int64)
    np.savez_compressed(buffer, images=images, labels=named, seeds=np.array(seeds, dtype=np.uint64))
    return buffer.getvalue()


def _atomically(path: Path, data: bytes) -> None:
    from ddpm_core.files import atomic_write_bytes

    try:
        atomic_write_bytes(path, data)
    except OSError as error:
        raise ParamsError(f"--out: must be a place that can be written, got {path}: {error.strerror}") from error
