"""The trainer: a killed and resumed run is the uninterrupted one to the bit, and nothing bad reaches the weights."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from ddpm_core.errors import IntegrityError, NonFiniteError, Stopped
from ddpm_core.files import sha256_bytes
from ddpm_core.objectives.batch import Batch
from ddpm_core.training.config import Adam, Muon
from ddpm_core.training.lr import lr_at
from ddpm_core.training.trainer import Trainer

ROOT = Path(__file__).parents[3]


def finish(trainer: Trainer) -> Trainer:
    for _ in trainer.run():
        pass
    return trainer


class Killed(Exception):
    """Stands for kill -9: nothing is saved on the way out."""


def run_until(trainer: Trainer, step: int) -> None:
    with pytest.raises(Killed):
        _kill_at(trainer, step)


def _kill_at(trainer: Trainer, step: int) -> None:
    with closing(trainer.run()) as reports:
        for report in reports:
            if report.step == step:
                raise Killed


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"learning_law": True, "ema_more": (0.5, 0.99)},
        {"dtype": torch.bfloat16, "accumulate": 2},
        {"optimiser": Muon("muon", 10.0, 0.9, (0.9, 0.99), 1e-8, 0.01)},
        {"optimiser": Adam("adam", (0.9, 0.99), 1e-8)},
    ],
    ids=["plain", "learning law and averages", "bf16 in parts", "muon", "adam"],
)
def test_resumed_after_kills_equals_uninterrupted_to_the_bit(tmp_path: Path, changes: dict[str, Any]) -> None:
    whole = finish(tiny.trainer(None, **changes))
    for step in (3, 7, 12, 13, 23):
        part = tiny.trainer(tmp_path, **changes)
        part.resume()
        run_until(part, step)
    last = tiny.trainer(tmp_path, **changes)
    assert last.resume()
    assert last.step == 18
    assert tiny.everything(finish(last)) == tiny.everything(whole)


@pytest.mark.parametrize("step", [1, 4, 5, 6, 23, 24])
def test_stopped_at_any_step_saves_and_goes_on_to_the_same_bits(tmp_path: Path, step: int) -> None:
    whole = finish(tiny.trainer(None))
    stopping = tiny.trainer(tmp_path, should_stop=lambda: stopping.step == step)
    with pytest.raises(Stopped, match=f"stopped by a signal at step {step} and saved; the same command resumes"):
        finish(stopping)
    resumed = tiny.trainer(tmp_path)
    assert resumed.resume()
    assert resumed.step == step
    assert tiny.everything(finish(resumed)) == tiny.everything(whole)


def test_stopping_without_checkpoints_says_that_nothing_was_saved() -> None:
    with pytest.raises(Stopped, match="nothing was saved"):
        finish(tiny.trainer(None, should_stop=lambda: True))


def test_parts_of_a_batch_give_the_update_of_the_whole() -> None:
    whole, parts = (tiny.trainer(None, accumulate=n, dropout=0.0) for n in (1, 4))
    for one, other in zip(finish(whole).model.parameters(), finish(parts).model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert parts.history[-1].loss == pytest.approx(whole.history[-1].loss, rel=1e-5)


def test_the_seed_changes_the_training_and_nothing_else_does() -> None:
    one, again, other = (finish(tiny.trainer(None, seed=seed)) for seed in (3, 3, 4))
    torch.manual_seed(123)  # the state of torch's global generator is of no account
    assert tiny.everything(one) == tiny.everything(again)
    assert tiny.everything(one) != tiny.everything(other)


def test_reports_come_each_step_with_measures_at_the_ends_of_windows() -> None:
    reports = list(tiny.trainer(None).run())
    assert [report.step for report in reports] == list(range(1, 25))
    assert [report.step for report in reports if report.measures] == [5, 10, 15, 20, 24]
    last = reports[-1]
    assert last.items_per_second is not None
    assert last.items_per_second > 0
    assert 0 <= (last.data_wait or 0) <= 1


def broken(at: int) -> Iterator[Batch]:
    for step, batch in enumerate(tiny.batches(0)):
        if step == at:
            batch.x0[0] = torch.inf
        yield batch


def test_a_loss_that_is_no_number_stops_with_exit_5_and_never_reaches_the_weights(tmp_path: Path) -> None:
    good = tiny.trainer(None, steps=9, warmup_steps=4, lr_schedule=tiny.CONSTANT)
    finish(good)
    bad = tiny.trainer(tmp_path, lr_schedule=tiny.CONSTANT, source=lambda _start: broken(9))
    with pytest.raises(NonFiniteError, match=r"near step 10 they were not .* lower train.lr") as caught:
        finish(bad)
    assert caught.value.exit_code == 5
    for one, other in zip(bad.model.parameters(), good.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert bad._checkpoints is not None
    assert bad._checkpoints.steps() == [6]


def updated(trainer: Trainer) -> None:
    """An update by the gradients that lie there, at the rate 0.1."""
    trainer._update(0.1, 0, torch.tensor(1.0), torch.tensor([0.5]), torch.tensor([1.0]), gradients_stay=False)


def test_the_fused_update_skips_a_bad_step_without_the_host_looking() -> None:
    """On a GPU the host reads the guard at the end of a window only; the kernel itself must leave the weights be."""
    trainer = tiny.trainer(None)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer._update._host_decides = False
    for parameter in trainer.model.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    updated(trainer)
    assert all(torch.equal(one, other) for one, other in zip(before, trainer.model.parameters(), strict=True))
    for parameter in trainer.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    updated(trainer)
    assert not any(torch.equal(one, other) for one, other in zip(before, trainer.model.parameters(), strict=True))


def test_the_gradient_is_clipped_to_its_norm() -> None:
    trainer = tiny.trainer(None, grad_clip=0.5)
    for parameter in trainer.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    size = sum(p.numel() for p in trainer.model.parameters())
    updated(trainer)
    assert trainer._update.norm == pytest.approx(size**0.5)
    clipped = torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])
    assert float(clipped.norm()) == pytest.approx(0.5, rel=1e-4)


def test_update_k_moves_the_weights_by_the_rate_of_step_k() -> None:
    """Adam without memory moves a weight by the rate times the sign of its gradient, so the rate can be read off."""
    trainer = tiny.trainer(None, optimiser=Adam("adam", (0.0, 0.0), 1e-30), log_every=1)
    rates, before = [lr_at(trainer.config, step) for step in range(24)], weights(trainer)
    for report in trainer.run():
        after = weights(trainer)
        moved = float((after - before).abs().max())
        assert moved == pytest.approx(rates[report.step - 1], rel=1e-4)
        assert report.measures is not None
        assert report.measures.lr == rates[report.step - 1]
        before = after


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().double().flatten() for p in trainer.model.parameters()])


def test_no_clipping_leaves_the_gradient_as_it_is() -> None:
    trainer = tiny.trainer(None, grad_clip=0.0)
    for parameter in trainer.model.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    updated(trainer)
    assert all(bool((p.grad == 7).all()) for p in trainer.model.parameters() if p.grad is not None)


def test_errors_of_the_data_come_through_the_reading_thread() -> None:
    def source(_start: int) -> Iterator[Batch]:
        yield from (batch for batch, _ in zip(tiny.batches(0), range(3), strict=False))
        raise IntegrityError("the shard was damaged")

    with pytest.raises(IntegrityError, match="the shard was damaged"):
        finish(tiny.trainer(None, source=source))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    run_until(tiny.trainer(tmp_path), 8)
    other = tiny.trainer(tmp_path)
    other.model.out = torch.nn.Linear(9, 6)
    with pytest.raises(IntegrityError, match="checkpoint of step 6 must be of this training, but does not fit"):
        other.resume()


LONG_TRAINING = """
import sys
from pathlib import Path
import tiny
from ddpm_core.errors import Stopped
from ddpm_core.training.signals import listening

try:
    with listening() as stop:
        for report in tiny.trainer(Path(sys.argv[1]), should_stop=stop, steps=1_000_000).run():
            if report.step == 3:
                print("running", flush=True)
except Stopped as error:
    print(error, flush=True)
    sys.exit(error.exit_code)
"""


def test_sigterm_finishes_the_step_saves_and_exits_with_143(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(tiny.__file__).parent)])}
    command = [sys.executable, "-c", LONG_TRAINING, str(tmp_path)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        assert training.stdout.readline() == "running\n"
        training.send_signal(signal.SIGTERM)
        assert "and saved; the same command resumes" in training.stdout.readline()
    assert training.returncode == 143
    resumed = tiny.trainer(tmp_path, steps=1_000_000)
    assert resumed.resume()
    assert resumed.step >= 3


ALONE = "DDPM_TEST_ALONE"  # set in the process that a test has for itself


def forked(folder: Path, killed_at: int | None) -> str:
    """Train in a child process, killed with signal 9 once it has told so many steps; its last line otherwise."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)
            trainer = tiny.trainer(folder, steps=60, checkpoint_every=2)
            trainer.resume()
            for report in trainer.run():
                os.write(writing, f"{report.step}\n".encode())
            digests = {name: sha256_bytes(tensor) for name, tensor in sorted(tiny.tensor_bytes(trainer).items())}
            os.write(writing, f"done {digests} {trainer.history}\n".encode())
        finally:
            os._exit(0)
    os.close(writing)
    line = ""
    with os.fdopen(reading) as told:
        for count, line in enumerate(told):  # noqa: B007
            if count == killed_at:
                os.kill(child, signal.SIGKILL)
                break
    os.waitpid(child, 0)
    return line


@pytest.mark.slow
def test_killed_with_signal_9_at_random_moments_ends_with_the_same_numbers(tmp_path: Path) -> None:
    """Steps and saves are cut off anywhere; each next process takes up what the last one left."""
    if ALONE not in os.environ:  # autograd refuses to work in the fork of a process in which it had threads
        this = f"{__file__}::{test_killed_with_signal_9_at_random_moments_ends_with_the_same_numbers.__name__}"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "slow", this]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, ALONE: "1"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        return
    tiny.trainer(None)  # what the first optimiser imports takes seconds, and each child would have to
    rng = random.Random(0)
    whole = forked(tmp_path / "whole", None)
    for _ in range(20):
        forked(tmp_path / "killed", rng.randint(0, 5))
    assert whole.startswith("done")
    assert forked(tmp_path / "killed", None) == whole
