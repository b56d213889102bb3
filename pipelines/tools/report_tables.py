"""The tables of the report, from the numbers of metrics.json and the columns of out/samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ddpm_core.metrics.rules import number
from pipelines.tools.report_page import Row
from pipelines.tools.report_words import meaning

Metrics = Mapping[str, float]
PerClass = Mapping[str, Sequence[float | None]]
_ALIKE = 0.2  # a value that differs from that of real pictures by less than this share of it is called alike
_LOW = 1 / 32  # of the levels, from the lowest: what a black background with a little noise stays within


def headline(metrics: Mapping[str, float], distances: Sequence[str], judges: Sequence[str]) -> list[Row]:
    """The numbers of the tiles: the distances and scores of the field, then the gate's own scale."""
    tiles: list[Row] = [
        (f"{name} to {words}", number(metrics[f"{name}_{split}"]))
        for name in distances
        for split, words in (("train", "training images"), ("test", "unseen images"))
    ]
    tiles += [
        (f"{score}; of unseen images {number(metrics[f'{score}_real'])}", number(metrics[score]))
        for score in ("is", "cis", "score_efficientnet_lite0")
        if score in metrics
    ]
    tiles += [(f"e in {judge}: 0 real, 1 one image repeated", f"{metrics[f'energy_{judge}']:.3f}") for judge in judges]
    if "accuracy_asked" in metrics:
        tiles.append(("classified as the class asked for", f"{metrics['accuracy_asked']:.1%}"))
    tiles.append(("suspected copies of training images", f"{metrics['near_share']:.2%}"))
    tiles.append(("samples judged", f"{metrics['n']:g}"))
    return tiles


def distance_rows(metrics: Mapping[str, float], distances: Sequence[str]) -> list[Row]:
    """Each distance to each split, beside its floor."""
    rows: list[Row] = [("distance", "to", "samples", "floor", "ratio", "without bias")]
    for name in distances:
        for split, words in (("train", "training images"), ("test", "unseen images")):
            plain = (number(metrics[f"{name}{kind}_{split}"]) for kind in ("", "_floor"))
            ratio = f"{name}_ratio_{split}"
            rows.append(
                (
                    name,
                    words,
                    *plain,
                    _with_ends(metrics, ratio),
                    _ends(metrics, f"{name}_{split}") or "too few samples",
                )
            )
    return rows


def _ends(metrics: Mapping[str, float], name: str) -> str:
    """The interval of a number, where it has one."""
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def _with_ends(metrics: Mapping[str, float], name: str) -> str:
    ends = _ends(metrics, name)
    return f"{number(metrics[name])} ({ends})" if ends else number(metrics[name])


def class_rows(per_class: Mapping[str, Sequence[float | None]], classes: Sequence[str]) -> list[Row]:
    """A row a class, a column a measure; "-" where a class has no images to measure by."""
    names = sorted(per_class)
    columns = [per_class[name] for name in names]
    return [
        ("class", *names),
        *((label, *(number(column[place]) for column in columns)) for place, label in enumerate(classes) if names),
    ]


def measure_rows(metrics: Mapping[str, float], distances: Sequence[str]) -> list[Row]:
    """All numbers that the other tables do not show, with a word about each."""
    shown = {f"{name}{end}" for name in distances for end in _distance_endings()}
    rest = [name for name in sorted(metrics) if name not in shown and not _is_end(name, metrics)]
    return [("measure", "value", ""), *((name, _with_ends(metrics, name), meaning(name)) for name in rest)]


def _is_end(name: str, metrics: Mapping[str, float]) -> bool:
    """Whether a number belongs to another one: an end of its interval, or the difference that it tells."""
    return any(name.removesuffix(end) in metrics for end in ("_low", "_high", "_detectable") if name.endswith(end))


def _distance_endings() -> list[str]:
    return [f"{kind}_{split}" for kind in ("", "_floor", "_ratio") for split in ("train", "test")]


# ---- samples beside real pictures


@dataclass(frozen=True)
class Difference:
    """What is measured of samples and of unseen real pictures alike."""

    what: str
    samples: float
    real: float
    is_share: bool
    words: str = ""

    @property
    def is_alike(self) -> bool:
        return abs(self.samples - self.real) <= _ALIKE * abs(self.real)

    def row(self) -> Row:
        times = f"{self.samples / self.real:.2f} x" if self.real > 0 else "-"
        return (self.what, self._text(self.samples), self._text(self.real), times, self.words)

    def __str__(self) -> str:
        return f"{self.what} ({self._text(self.samples)} against {self._text(self.real)})"

    def _text(self, value: float) -> str:
        return f"{value:.1%}" if self.is_share else f"{value:.3g}"


def differences(
    metrics: Metrics,
    distances: Sequence[str],
    per_class: PerClass,
    classes: Sequence[str],
    samples: Sequence[float],
    unseen: Sequence[float],
) -> list[Difference]:
    """The same measures of samples and of real pictures; `samples` and `unseen` are each level's shares in them."""
    found = _of_levels(samples, unseen)
    pairs = (
        ("images of one colour", "constant_share", "constant_share_heldout"),
        ("repeated images", "duplicate_share", "duplicate_share_heldout"),
        ("classified as their class", "accuracy_asked", "accuracy_heldout"),
    )
    for words, mine, its in pairs:
        if mine in metrics and its in metrics:
            found.append(Difference(words, metrics[mine], metrics[its], is_share=True))
    if "nyquist_energy" in metrics:
        energy, real = metrics["nyquist_energy"], metrics["nyquist_energy_heldout"]
        what = "energy at the Nyquist frequency" + (": a mesh of every second pixel" if energy > real else "")
        words = "against that of the frequencies beside it, 1 = white noise"
        found.append(Difference(what, energy, real, is_share=False, words=words))
    for name in distances:
        for what in ("coverage", "density", "precision", "recall"):
            if f"{name}_{what}_real" in metrics:
                both = [metrics[f"{name}_{what}{end}"] for end in ("", "_real")]
                words = f"{meaning(f'{name}_{what}')}; real: as many training images"
                found.append(Difference(f"{what} in {name}", both[0], both[1], is_share=what != "density", words=words))
        found += _of_diversity(name, per_class.get(f"{name}_diversity", ()), classes)
    return found


def _of_levels(samples: Sequence[float], unseen: Sequence[float]) -> list[Difference]:
    if len(samples) < 2:
        return []
    top = len(samples) - 1
    low = max(1, round(len(samples) * _LOW))

    def pair(what: str, places: Sequence[int], words: str = "") -> Difference:
        mine, real = (sum(side[place] for place in places) for side in (samples, unseen))
        return Difference(what, mine, real, is_share=True, words=words)

    mean, its = (sum(level * share for level, share in enumerate(side)) for side in (samples, unseen))
    return [
        Difference("mean level", mean, its, is_share=False, words=f"of 0 to {top}"),
        pair("values at level 0", [0], "black, as a plain background has it"),
        pair(f"values at most {low}", range(low + 1), "black, or so little above it that no eye sees it"),
        pair(f"values at level {top}", [top]),
    ]


def _of_diversity(name: str, values: Sequence[float | None], classes: Sequence[str]) -> list[Difference]:
    """Every class whose samples are less, or more, diverse than real pictures; of none, the least diverse."""
    known = [(value, label) for value, label in zip(values, classes, strict=False) if value is not None]
    words = "how far two samples of the class lie apart, 1 = as far as two unseen real ones"
    rows = [
        Difference(f"diversity of class {label} in {name}", value, 1.0, is_share=False, words=words)
        for value, label in sorted(known)
    ]
    return [row for row in rows if not row.is_alike] or rows[:1]


def difference_rows(found: Sequence[Difference]) -> list[Row]:
    """A row a measure."""
    return [("measure", "samples", "real", "ratio", ""), *(one.row() for one in found)]


def difference_summary(found: Sequence[Difference]) -> str:
    """In a sentence, those that are not alike."""
    apart = [str(one) for one in found if not one.is_alike]
    if not apart:
        return f"No measure of this table differs from that of real pictures by more than {_ALIKE:.0%} of it."
    return f"Apart from real pictures by more than {_ALIKE:.0%}: {'; '.join(apart)}. The other measures are nearer."


# ---- by numbers of steps


def steps_rows(rows: Sequence[Mapping[str, str]]) -> list[Row]:
    """by_steps.csv for a reader: a column a judge, and the labels where they are known."""
    names = list(dict.fromkeys(row["judge"] for row in rows))
    has_labels = any(row["accuracy"] for row in rows)
    head: Row = ("steps", "evaluations", *(f"e in {name}" for name in names))
    shown: list[Row] = [(*head, "right label") if has_labels else head]
    for steps in dict.fromkeys(row["steps"] for row in rows):
        its = {row["judge"]: row for row in rows if row["steps"] == steps}
        first = its[names[0]]
        right = next((f"{float(row['accuracy']):.1%}" for row in its.values() if row["accuracy"]), "-")
        own = " (own)" if first["own"] == "1" else ""
        cells: Row = (f"{steps}{own}", first["evaluations"], *(_energy_text(its[name]) for name in names))
        shown.append((*cells, right) if has_labels else cells)
    return shown


def _energy_text(row: Mapping[str, str]) -> str:
    value, low, high = (float(row[name]) for name in ("energy", "low", "high"))
    return f"{value:.3f} ({low:.3f} to {high:.3f})"
