"""Whether a bundle still makes the sample that was kept with it when it was exported."""

from ddpm_core.metrics.metric import Metric, Rule


def golden_metric(difference: float | None, is_there: bool = True) -> Metric:
    """How far the bundle's golden sample is from itself when it is made again; no rule judges a bundle without one."""
    words = "sampled again it differs by {value:.4g} from the export's, in the values as they are kept"
    return Metric(
        "golden_difference", "mean difference of the bundle's golden sample from itself when it is made again", "lower",
        rule=Rule("absolute", "max_golden_difference", "golden sample", words),
        not_applicable="" if is_there else "the bundle was made without one", value=difference,
    )  # fmt: skip
