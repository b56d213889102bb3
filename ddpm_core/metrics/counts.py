"""How many there are of everything."""

from collections.abc import Iterator

from ddpm_core.metrics.metric import Metric


def counts(samples: int, unseen: int, training: int) -> Iterator[Metric]:
    """Of any kind of data; the gate's rules look at the first two."""
    yield Metric("n", "samples", tile=("samples judged", "g"), value=samples)
    yield Metric("n_heldout", "unseen real data", value=unseen)
    yield Metric("n_train", "training data", value=training)
