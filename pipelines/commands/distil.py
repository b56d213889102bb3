"""`ddpm distil`: a student of a bundle, which samples in fewer evaluations, judged beside its teacher."""

import argparse
import logging
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import TYPE_CHECKING, Any, Literal, cast

from ddpm_core.errors import ParamsError
from pipelines.commands.common import Verbs, checked_params, project_paths, sentence
from pipelines.commands.options import folder_outside_stages

if TYPE_CHECKING:
    from ddpm_core.bundle.format import Bundle
    from ddpm_core.objectives.distillation_config import BakedGuidance, TrajectoryRegression
    from pipelines.params import Params
    from pipelines.paths import Paths

log = logging.getLogger(__name__)

_INSIDE = 0.8  # of the drawn levels lie in the interval of guidance
_WARM_UP = 10  # updates


@dataclass(frozen=True)
class Defaults:
    """How a student is trained unless options say otherwise; levels are fractions of the way to noise, `guidance` is a
    share of the weight that the teacher samples with."""

    levels: tuple[float, ...]
    updates: int
    lr: float
    ema: float
    guidance: float


METHODS = {  # few steps do as much with less guidance: with all of it samples are less diverse than the teacher's
    "guidance": Defaults((1.0, 0.85, 0.65, 0.42, 0.19, 0.0), updates=100, lr=7e-4, ema=0.97, guidance=0.75),
    "trajectories": Defaults((1.0, 0.5, 0.0), updates=250, lr=1e-3, ema=0.975, guidance=1.0),
}


@dataclass(frozen=True)
class DistilOptions:
    """The options, checked."""

    teacher: Path
    out: Path
    method: Literal["guidance", "trajectories"]
    levels: tuple[int, ...] | None
    updates: int
    lr: float
    ema: float
    guidance: float | None
    trajectories: int
    teacher_steps: int
    seed: int
    judge: bool


def add_to(verbs: Verbs) -> None:
    text = "train a student of a bundle that samples in fewer evaluations, and judge it beside its teacher"
    verb = verbs.add_parser("distil", help=text, description=sentence(text))
    verb.add_argument("--teacher", metavar="BUNDLE", required=True, help="the folder of the teacher's bundle")
    verb.add_argument(
        "--out", metavar="FOLDER", required=True, help="for bundle/, its measurement, teacher/ and compare.html"
    )
    verb.add_argument(
        "--method",
        choices=list(METHODS),
        default="guidance",
        help="guidance: the teacher's guidance is in the student's answers, at any levels (default); trajectories: the "
        "teacher's trajectories in 1, 2 or 4 steps, at its own levels alone",
    )
    verb.add_argument(
        "--levels",
        metavar="LIST",
        help="that the student is sampled at, such as 1000,500,0 (default for 1,000 levels: guidance "
        "1000,850,650,420,190,0; trajectories 1000,500,0)",
    )
    verb.add_argument(
        "--guidance",
        type=float,
        metavar="WEIGHT",
        help="weight of the guidance in its answers (default: guidance 0.75 of the teacher's, trajectories all of it)",
    )
    verb.add_argument("--updates", type=int, help="of the weights (default: guidance 100, trajectories 250)")
    verb.add_argument("--lr", type=float, help="learning rate (default: guidance 7e-4, trajectories 1e-3)")
    verb.add_argument("--ema", type=float, help="decay of the averages (default: guidance 0.97, trajectories 0.975)")
    verb.add_argument("--trajectories", type=int, default=3072, metavar="N", help="of the teacher (default: 3072)")
    verb.add_argument("--teacher-steps", type=int, default=8, metavar="K", help="of a trajectory (default: 8)")
    verb.add_argument("--seed", type=int, default=0, help="of data order, levels and noise (default: 0)")
    verb.add_argument("--no-judge", action="store_true", help="train and export alone")
    verb.set_defaults(action=distil)


def distil(args: argparse.Namespace) -> None:
    """Train, export, measure both under equal conditions, print the verdict and the comparison."""
    paths = project_paths(args)
    asked = asked_of(args, paths)
    params = checked_params(paths, computes=True)
    from ddpm_core.bundle.format import read_bundle

    teacher = read_bundle(asked.teacher)
    ours = student_params(params, teacher, asked)
    student, seconds = trained(ours, paths, asked.out / "bundle", quiet=args.quiet)
    log.info("student %s of teacher %s: %s", student.digest[:16], teacher.digest[:16], asked.out / "bundle")
    log.info("its training took %.0f CPU s", seconds)
    if asked.judge:
        _judge(params, paths, asked)


def student_params(params: "Params", teacher: "Bundle", asked: DistilOptions) -> "Params":
    """The project's parameters, with the sections of this student in place of those of a training on data."""
    from ddpm_core.models import ModelConfig
    from ddpm_core.objectives.distillation_config import DistillationConfig, TeacherConfig
    from ddpm_core.samplers.config import SampleConfig
    from ddpm_core.samplers.unipc import Unipc2
    from ddpm_core.training.config import Cosine
    from pipelines.parsing import parse, parse_kept

    recipe, T = METHODS[asked.method], teacher.schedule.T
    levels = asked.levels or tuple(round(share * T) for share in recipe.levels)
    sample: SampleConfig = parse(SampleConfig, teacher.sample, "bundle.json: sample")
    weight = recipe.guidance * sample.guidance.weight if asked.guidance is None else asked.guidance
    if teacher.student is not None and weight:
        raise ParamsError(
            f"--guidance: must be 0 for a teacher that is a student itself, as guidance "
            f"{teacher.student.guidance['weight']:g} is in its answers, got {weight:g}"
        )
    schedule: Any = getattr(params.diffusion, "schedule", None)
    if schedule is None:
        raise ParamsError(f"diffusion.kind: must be diffusion to distil, got {params.diffusion}")
    diffusion = DistillationConfig(
        "distillation",
        TeacherConfig(str(asked.teacher), teacher.digest),
        schedule,
        teacher.target,
        replace(sample.guidance, weight=round(weight, 6)),
        _method(asked, levels, sample.sampler.bound),
    )
    train = replace(
        params.train,
        seed=asked.seed,
        init_from=None,
        steps=asked.updates,
        label_dropout=0.0,
        lr=asked.lr,
        warmup_steps=min(_WARM_UP, asked.updates - 1),
        lr_schedule=Cosine("cosine", 0.0),
        ema_decay=asked.ema,
        ema_more=(),
        hold_out=0,
        sample_every=0,
        compile="never",
    )
    return replace(
        params,
        model=parse_kept(ModelConfig, teacher.provenance["model"], "bundle.json: provenance.model"),
        diffusion=diffusion,
        train=train,
        export=replace(params.export, ema=None, weights="last"),
        sample=replace(
            sample,
            sampler=Unipc2(len(levels) - 1, levels, sample.sampler.bound, "unipc_2"),
            guidance=replace(sample.guidance, weight=0.0),
        ),
    )


def _method(asked: DistilOptions, levels: tuple[int, ...], bound: Any) -> "BakedGuidance | TrajectoryRegression":
    from ddpm_core.objectives.distillation_config import BakedGuidance, TrajectoryRegression

    if asked.method == "guidance":
        return BakedGuidance("guidance", _INSIDE)
    return TrajectoryRegression("trajectories", asked.trajectories, asked.teacher_steps, levels, bound)


def trained(params: "Params", paths: "Paths", folder: Path, *, quiet: bool) -> "tuple[Bundle, float]":
    """Train a student and export it; the bundle, and the CPU seconds of the training, its trajectories among them."""
    from dataclasses import asdict

    from ddpm_core.files import atomic_write_bytes
    from ddpm_core.training.distributed import ALONE
    from pipelines.runtime.progress import Progress
    from pipelines.stages.export import export_weights
    from pipelines.training.setup import TrainingSetup
    from pipelines.training.weights_file import about_training, tensors_of, weights_bytes

    begun = process_time()
    setup = TrainingSetup.of(params, paths, ALONE)
    trainer = setup.trainer(None, lambda: False)
    log.info("distilling on %s", setup)
    with Progress(setup.config.steps, "distil", "steps", quiet=quiet) as bar:
        for report in trainer.run():
            bar.update()
            if report.measures is not None:
                bar.note(f"loss {report.measures.loss:.5f}")
    seconds = process_time() - begun
    with TemporaryDirectory(prefix="distil-") as scratch:
        weights = Path(scratch) / "weights.safetensors"
        about = about_training(setup, [[0, setup.threads]])
        atomic_write_bytes(weights, weights_bytes(tensors_of(trainer), about))
        return export_weights(weights, folder, params.export, asdict(params.sample), setup.threads), seconds


def _judge(params: "Params", paths: "Paths", asked: DistilOptions) -> None:
    """Measure both with the same seeds and conditions, print the verdict and the comparison, write its page."""
    from ddpm_core.files import atomic_write_text
    from pipelines.gate.record import judged_in
    from pipelines.report.compare import open_runs
    from pipelines.report.compared import Compared
    from pipelines.stages.evaluate import measure_bundle

    params = replace(params, evaluate=replace(params.evaluate, steps=None, guidance=None))
    measure_bundle(params, paths, asked.out / "bundle", asked.out, panels=False)
    beside = asked.out / "teacher"
    measure_bundle(params, paths, asked.teacher, beside, panels=False)
    with open_runs((str(asked.out), str(beside)), params, paths) as runs:
        compared = Compared.of(runs, params.gate)
    atomic_write_text(asked.out / "compare.html", compared.html())
    sys.stdout.write(f"{judged_in(asked.out, params.gate).table()}\n\n{compared.text()}")
    log.info("student (A) beside its teacher (B): %s", asked.out / "compare.html")


def asked_of(args: argparse.Namespace, paths: "Paths") -> DistilOptions:
    """The options; ParamsError where one cannot be."""
    method = cast(Literal["guidance", "trajectories"], args.method)
    recipe = METHODS[method]
    updates = recipe.updates if args.updates is None else args.updates
    for option, value, least in (
        ("--updates", updates, 2),
        ("--trajectories", args.trajectories, 1),
        ("--teacher-steps", args.teacher_steps, 1),
        ("--seed", args.seed, 0),
    ):
        if value < least:
            raise ParamsError(f"{option}: must be at least {least}, got {value}")
    if args.guidance is not None and not 0 <= args.guidance < float("inf"):
        raise ParamsError(f"--guidance: must be at least 0 and finite, got {args.guidance}")
    return DistilOptions(
        teacher=Path(args.teacher).resolve(),
        out=folder_outside_stages(args.out, paths),
        method=method,
        levels=_levels(args.levels),
        updates=updates,
        lr=recipe.lr if args.lr is None else args.lr,
        ema=recipe.ema if args.ema is None else args.ema,
        guidance=args.guidance,
        trajectories=args.trajectories,
        teacher_steps=args.teacher_steps,
        seed=args.seed,
        judge=not args.no_judge,
    )


def _levels(text: str | None) -> tuple[int, ...] | None:
    """Falling whole numbers from a list with commas."""
    from ddpm_core.diffusion.spacing import fault_of_levels

    if text is None:
        return None
    words = text.split(",")
    levels = tuple(int(word) for word in words if word.strip().isdecimal())
    if len(levels) < 2 or len(levels) != len(words) or fault_of_levels(levels, len(levels) - 1):
        raise ParamsError(f"--levels: must be falling whole numbers that end in 0, such as 1000,500,0, got {text!r}")
    return levels
