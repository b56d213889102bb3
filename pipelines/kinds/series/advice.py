"""What to try where the gate's rules about series block."""

from collections.abc import Iterator

from pipelines.kinds.advice import Advice, Judged


def advice(judged: Judged) -> Iterator[Advice]:
    if judged.failed("max_coverage_error", "max_dispersion_error"):
        dropout = getattr(judged.params.model, "dropout", None)
        if dropout is not None and dropout < 0.3:
            yield Advice(
                f"model.dropout: {dropout:g} -> {dropout + 0.1:g}",
                "intervals that are too narrow come from a network that knows the training windows by heart",
            )
        if judged.params.diffusion.variance != "learned":
            yield Advice(
                f"diffusion.variance: {judged.params.diffusion.variance} -> learned",
                "a fixed variance of the reverse steps makes samples too alike where there are few of them",
            )
    if judged.failed("min_skill"):
        yield Advice(
            "a longer history in section source, where the data repeat over longer times than it spans",
            "the best baseline knows the last season; the network only what its history holds",
        )
