"""The models of a server as it begins: one pinned bundle, models that follow a source, or both."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ddpm_core.bundle.format import BUNDLE_FILE, Bundle, read_bundle
from ddpm_core.errors import DdpmError, ParamsError
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.serving.follow import Follower, Watcher
from pipelines.serving.hosted import Models, Version
from pipelines.serving.service import Limits, Service
from pipelines.serving.sources import Source, as_offered

log = logging.getLogger(__name__)

ONLY_MODEL, FAST = "default", "fast"
"""The names of a bundle that was given without one, and of a student that was."""


@dataclass(frozen=True)
class Hosting:
    """How models are run: on which device, at most how many loaded at once, their cache, and how often to look."""

    device: str
    threads: int
    most_loaded: int | None
    cache: Path
    look_seconds: float


def open_models(
    bundle: Path | None, followed: Mapping[str, Source], limits: Callable[[str], Limits], hosting: Hosting
) -> tuple[Models, Watcher]:
    """Verify every model and its golden sample. The bundle is the first model; it stays what it is now.

    `limits` gives a model's limits by its name.
    """

    def opener(name: str) -> Callable[[Bundle], Service]:
        return lambda read: Service(Sampler(read, hosting.device, hosting.threads), limits(name))

    shared = limits(ONLY_MODEL)
    models = Models(shared.waiting, max(shared.at_once, shared.batch), hosting.most_loaded)
    if bundle is not None:
        models.add(ONLY_MODEL, _pinned(bundle, opener(ONLY_MODEL)))
    followers = [Follower(name, source, hosting.cache / name, opener(name)) for name, source in followed.items()]
    for follower in followers:
        models.add(follower.name, _first(follower))
    return models, Watcher(followers, models, hosting.look_seconds)


def refuse_unless_student(models: Models) -> None:
    """ParamsError unless the model of --fast is a student of another one that is served."""
    cards = models.cards()
    fast = next(card for card in cards if card["id"] == FAST)
    if any(FAST in card["students"] for card in cards):
        return
    teacher, served = fast["teacher"], ", ".join(f"{c['id']} {c['bundle'][:16]}" for c in cards if c is not fast)
    came = "a bundle that is no student" if teacher is None else f"a student of {teacher[:16]}"
    raise ParamsError(
        f"--fast: must be a student of a model that is served ({served or 'none'}), got {came}; serve its teacher too, "
        "or make a student with `ddpm distil`"
    )


def _first(follower: Follower) -> Version:
    try:
        return follower.first()
    except FileNotFoundError as error:
        option = f"--{FAST}" if follower.name == FAST else f"--model {follower.name}"
        raise DdpmError(
            f"{option}: must be a folder with a bundle, but {error.filename} was not found; `ddpm export` writes one"
        ) from error


def _pinned(folder: Path, open_service: Callable[[Bundle], Service]) -> Version:
    service = open_service(read_bundle(folder))
    digest = service.sampler.bundle.digest
    log.info("bundle %s, golden sample: %s", digest[:16], service.sampler.check_golden())
    created = int((folder / BUNDLE_FILE).stat().st_mtime)
    return Version(service, lambda: open_service(as_offered(read_bundle(folder), digest)), None, created)
