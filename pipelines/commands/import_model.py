"""`ddpm import`: a model of another library as a bundle, to be sampled, measured and served as one of ours."""

import argparse
import logging
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, sentence

if TYPE_CHECKING:
    from ddpm_core.samplers.config import SampleConfig
    from pipelines.interchange.model import Imported

log = logging.getLogger(__name__)

LAYOUTS = ("diffusers", "guided-diffusion", "denoising-diffusion-pytorch")
PARAMS_FILE = "params-import.yaml"
_OPSET, _PARITY = 20, 1e-4
_GOLDEN_STEPS, _GOLDEN_TOLERANCE = 4, 1.0


def add_to(verbs: Verbs) -> None:
    text = "make a bundle of another library's model"
    verb = verbs.add_parser("import", help=text, description=sentence(text))
    verb.add_argument("path", metavar="PATH", help="a diffusers folder, or a checkpoint file")
    verb.add_argument("--out", metavar="BUNDLE", required=True, help="the folder to write")
    verb.add_argument("--layout", choices=LAYOUTS, help="whose model it is (default: diffusers for its folders)")
    verb.add_argument(
        "--flags", metavar="FILE", help="of a checkpoint: the model flags that it was trained with, as YAML or JSON"
    )
    verb.add_argument(
        "--classes",
        metavar="NAMES",
        help="names of the classes, `cat,dog`, or their number (default: one for each row of the class embedding)",
    )
    verb.add_argument("--size", metavar="HxW", help="of the pictures, where the model does not tell it")
    verb.add_argument(
        "--pickle", action="store_true", help="read torch's own format too: tensors and plain values alone"
    )
    verb.add_argument("--sampler", metavar="KIND", default="ddim", help="the bundle's default sampler (default: ddim)")
    verb.add_argument("--steps", type=int, default=50, help="steps of it (default: 50)")
    verb.set_defaults(action=import_model)


def import_model(args: argparse.Namespace) -> None:
    """Read, fit the tensors to a network here, export, and prove that the graph answers as that network does."""
    from pipelines.runtime.environment import limit_threads

    limit_threads(1)
    imported = read(args)
    out = Path(args.out)
    write(imported, sample_config(args.sampler, args.steps, imported), out)
    write_params(imported, out)


def read(args: argparse.Namespace) -> "Imported":
    """The model at PATH."""
    from pipelines.interchange.diffusers import is_diffusers, read_diffusers
    from pipelines.interchange.model import ImportOptions

    path, wanted = Path(args.path), ImportOptions(args.classes, _size(args.size), args.pickle)
    layout = args.layout or ("diffusers" if is_diffusers(path) else None)
    if layout is None:
        raise ParamsError(
            f"PATH: must be a diffusers folder, with model_index.json or config.json, or a checkpoint with --layout, "
            f"got {path}"
        )
    if (layout == "diffusers") == (args.flags is not None):
        raise ParamsError("--flags: must be given for a checkpoint, and only there")
    if layout == "diffusers":
        return read_diffusers(path, wanted)
    if layout == "denoising-diffusion-pytorch":
        from pipelines.interchange.denoising_diffusion import read_denoising_diffusion

        return read_denoising_diffusion(path, _flags(Path(args.flags)), wanted)
    from pipelines.interchange.openai_unet import read_openai

    return read_openai(path, _flags(Path(args.flags)), wanted)


def _flags(file: Path) -> dict[str, Any]:
    from pipelines.params import read_yaml

    if not file.is_file():
        raise ParamsError(f"--flags: must be a YAML or JSON file, found none at {file}")
    return dict(read_yaml(file))


def sample_config(kind: str, steps: int, imported: "Imported") -> "SampleConfig":
    """The bundle's default sampler, with the model's own clamping of x0_hat, and no guidance."""
    from dataclasses import replace

    from ddpm_core.samplers.config import GuidanceConfig, SampleConfig, named

    sampler = replace(named(kind, steps, None), bound=imported.bound)
    return SampleConfig(sampler, GuidanceConfig(0.0, None, 0.0), 0)


def write(imported: "Imported", sample: "SampleConfig", folder: Path) -> None:
    """The weights as a training would write them, then the export of any training."""
    from dataclasses import asdict

    from ddpm_core.bundle.export_config import ExportConfig
    from ddpm_core.files import atomic_write_bytes
    from pipelines.stages.export import export_weights
    from pipelines.training.weights_file import weights_bytes

    config = ExportConfig(_OPSET, _PARITY, _GOLDEN_STEPS, _GOLDEN_TOLERANCE, None, "last")
    with TemporaryDirectory(prefix="import-") as scratch:
        weights = Path(scratch) / "weights.safetensors"
        atomic_write_bytes(weights, weights_bytes(imported.weights, imported.about()))
        bundle = export_weights(weights, folder, config, asdict(sample), 1)
    log.info(
        "%s of %s, %d classes, predicts %s: bundle %s in %s",
        " x ".join(map(str, imported.spec.shape)),
        imported.source["layout"],
        len(imported.spec.classes),
        bundle.target,
        bundle.digest[:16],
        folder,
    )


def write_params(imported: "Imported", folder: Path) -> None:
    """Beside the bundle, the keys of params.yaml with which a project's stages judge it as it is."""
    import json
    from dataclasses import asdict

    from ddpm_core.bundle.format import BUNDLE_FILE
    from ddpm_core.files import atomic_write_text, sha256_file

    start = {"path": str(folder.resolve()), "sha256": sha256_file(folder / BUNDLE_FILE)}
    sections = {
        "model": asdict(imported.network),
        "diffusion": asdict(imported.diffusion),
        "train": {"init_from": start, "steps": 0, "warmup_steps": 0},
    }
    lines = [
        f"{name}:\n" + "".join(f"  {key}: {json.dumps(value)}\n" for key, value in section.items())
        for name, section in sections.items()
    ]
    atomic_write_text(folder / PARAMS_FILE, "\n".join(lines))


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None or "0" in found.groups():
        raise ParamsError(f"--size: must be HEIGHTxWIDTH, such as 32x32, got {text!r}")
    return int(found[1]), int(found[2])
