"""From what was seen of pictures to parameters: each value with its reason."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from pipelines.kinds.choice import Chosen, Setting, gpu_words, of_preset, source_text, words_of
from pipelines.kinds.pictures.profiling.examples import of_profile
from pipelines.kinds.pictures.profiling.labels import label_value, label_warnings, labels_asked_for, labels_of
from pipelines.kinds.pictures.profiling.profile import MIN_SIDE, PictureProfile

if TYPE_CHECKING:
    from pipelines.projects.own_presets import OwnPreset

_SIDES = (8, 12, 16, 24, 28, 32, 48, 64)
_LARGEST = {"cpu": 32, "cuda": 64}
_FEW, _MANY_TEST, _GATE_NEEDS = 1_000, 250, 100
_EPOCHS = 200  # a picture is not shown more often: with more a network learns pictures by heart
_OF_A_CLUSTER = 60  # training pictures, at least on average
_MIRROR_LIMIT = 0.02  # the energy distance below which mirror images pass as pictures of the same data
_LIMITS = {"quarantined": 0.02, "copies": 0.02, "near_duplicates": 0.05, "flat": 0.01, "imbalance": 20.0}
_TRAIN_LEAST, _TEST_LEAST = 64, 16


def choose(
    seen: PictureProfile,
    path: str,
    device: str,
    preset_named: "Callable[[str], OwnPreset]",
    wanted: "OwnPreset | None" = None,
) -> Chosen:
    """`wanted` is the preset that was asked for; else colour decides, and whether there are labels."""
    labels, why_labels = labels_of(seen)
    if wanted is not None:
        labels, why_labels = labels_asked_for(wanted, labels, why_labels)
    n = seen.usable
    fraction = 0.2 if 0.2 * n >= _MANY_TEST else 0.3
    split = seen.split if labels == "folders" else None  # the folders' own
    test = round(fraction * n) if split is None else round(split.held_out * seen.usable_share)
    train = n - test
    grey = seen.coloured < 0.01
    preset = wanted or (None if grey else preset_named("small-colour" if labels == "none" else "small-colour-labels"))
    side, why_side = _side(seen, device) if wanted is None or wanted.size is None else (wanted.size, wanted.about)
    given = wanted is not None and wanted.size is not None
    size, why_size = (None if given else _rectangle(seen, device)) or (side, why_side)
    grained = seen.grain > 0.8
    values = dict(preset.values) if preset else {}
    clusters = _clusters(values.pop("source.clusters", None), train) if labels == "none" else None
    batch = min(values.pop("train.batch_size", 64 if grey else 32), 2 ** int(math.log2(max(2, train))))
    steps = values.pop("train.steps", 1_000)
    if preset is None or not preset.gpu:
        steps = min(steps, max(300, _EPOCHS * train // batch))
    refine = 0 if grey and not grained else 16
    choices = [
        Setting("source.path", path),
        *(Setting(f"source.{key}", value) for key, value in seen.given.keys.items()),
        Setting(f"source.{seen.given.label_key}", label_value(seen, labels), why_labels),
        Setting("source.resolution", size, why_size),
        Setting("source.channels", "grey" if grey else "rgb", f"{seen.coloured:.0%} of the pictures have colour"),
        Setting("source.clusters", clusters, _words_of_clusters(clusters)),
        *(_fit(seen) if size == side else ()),
        Setting("split.test_fraction", fraction, f"about {test} pictures to judge with, {train} to learn from"
               + (", as their folders say; the share itself is not used" if split else "")),
        *_contract(seen, labels),
        Setting("model.multipliers", [1, 2] if side <= 32 else [1, 2, 2]),
        Setting("model.attention_levels", [1] if side <= 32 else [2]),
        Setting("model.refine", refine, "a branch at full size against a mesh of 2 x 2 pixels, seen in colour and grain"
               if refine else "flat grey pictures need no branch at full size"),
        Setting("model.dropout", 0.1 if n < _FEW else 0.0,
               "few pictures: dropout keeps the network from learning them by heart" if n < _FEW else ""),
        Setting("train.batch_size", batch, "colour is learned better by more and smaller steps" if not grey else ""),
        Setting("train.steps", steps, f"each picture is shown {steps * batch / max(1, train):.0f} times"),
        Setting("train.warmup_steps", min(100, steps // 5)),
        Setting("train.sample_every", max(50, steps // 4)),
        Setting("train.checkpoint_every", max(50, steps // 4)),
        *_augmentation(seen, n, side),
        *_sampling(grained, labels == "none" and clusters is None),
        *_gate(labels, test),
    ]  # fmt: skip
    choices = [*(each for each in choices if each.key not in values), *of_preset(preset, values)]
    wide, high = size if isinstance(size, list) else (size, size)
    about = f"{'grey' if grey else 'colour'} pictures of {wide} x {high} pixels" + (
        f" in {len(seen.classes)} classes" if labels == "folders" else ""
    )
    return Chosen(
        about=about,
        template="digits",
        source=source_text(__file__, seen.given.kind),
        found=(*_found(seen), *words_of(preset)),
        warnings=(*_warnings(seen, labels, train, test, side, path), *gpu_words(preset)),
        choices=tuple(choices),
        train_count=train,
        test_count=test,
        prepare_seconds=seen.seconds * seen.files,
        examples=partial(of_profile, seen),
    )


def _found(seen: PictureProfile) -> Iterator[str]:
    part = "" if seen.looked == seen.files else f" (looked at {seen.looked:,} of them, spread over all)"
    yield f"{seen.files:,} files in {seen.place}{part}"
    shorter = seen.sides.min(axis=1)
    yield (
        f"shorter side {shorter.min()} to {shorter.max()} pixels, half of them up to {seen.side}; "
        f"{seen.oblong:.0%} are clearly longer than wide, or wider than long"
    )
    look = "grain, as photographs have" if seen.grain > 0.8 else "areas of flat colour"
    yield f"{seen.coloured:.0%} have colour; {look} ({seen.grain:.0%} of neighbouring pixels differ)"
    if seen.classes:
        sizes = sorted(seen.classes.values())
        word = "folders" if seen.given.kind == "image_folder" else "labels"
        word = "classes of folders in them" if seen.split is not None else word
        yield f"{len(sizes)} {word} of {sizes[0]} to {sizes[-1]} pictures, {seen.outside} pictures outside of them"
    if seen.split is not None:
        told = ", ".join(f"{name} ({count})" for name, count in seen.split.sides.items())
        yield f"the folders {told} are the sides of a split, not classes"
    if seen.refused:
        shown = "; ".join(f"{each.name}: {each.reason}" for each in seen.refused[:3])
        yield f"{len(seen.refused)} of {seen.looked} files cannot be used ({shown})"
    if seen.exact_copies:
        yield f"{seen.exact_copies:.1%} are exact copies of another picture"
    if seen.near:
        yield f"{seen.near:.1%} are near duplicates of another picture, by a perceptual hash"


def _clusters(most: int | None, train: int) -> int | None:
    """Fewer for few pictures; None where there would not be two."""
    clusters = 0 if most is None else min(most, train // _OF_A_CLUSTER)
    return clusters if clusters >= 2 else None


def _words_of_clusters(clusters: int | None) -> str:
    return "groups of pictures that look alike stand for labels, so that guidance works" if clusters else ""


def _rectangle(seen: PictureProfile, device: str) -> tuple[int | list[int], str] | None:
    """Width and height, where all pictures have the same, not a square, that a network can halve."""
    wide, high = (int(side) for side in seen.sides[0])
    same = bool((seen.sides == seen.sides[0]).all())
    if not same or wide == high or wide % 4 or high % 4 or max(wide, high) > _LARGEST[device]:
        return None
    return [wide, high], "width and height, as all pictures have"


def _side(seen: PictureProfile, device: str) -> tuple[int, str]:
    largest = _LARGEST[device]
    equal = seen.sides.min() == seen.sides.max()
    if equal and seen.side % 4 == 0 and seen.side <= largest:
        return seen.side, "as all pictures have"
    side = max(each for each in _SIDES if each <= max(8, min(seen.side, largest)))
    if seen.side > largest:
        return (
            side,
            f"half of the pictures have {seen.side} pixels or more; above {largest} a {device.upper()} takes hours",
        )
    return side, f"the size below {seen.side}, the middle one of the shorter sides, that a network can halve"


def _fit(seen: PictureProfile) -> Iterator[Setting]:
    if seen.oblong > 0.1 and seen.on_white > 0.5:
        yield Setting("source.fit", "pad", f"{seen.oblong:.0%} are not square, and on white: nothing is cut off")
    elif seen.oblong > 0.1:
        yield Setting("source.fit", "crop", f"{seen.oblong:.0%} are not square: their central square is taken")


def _contract(seen: PictureProfile, labels: str) -> Iterator[Setting]:
    """Limits that these data would break although nothing is wrong with them."""
    other = [each for each in seen.refused if not each.is_named_like_a_picture]
    if len(other) > _LIMITS["quarantined"] * seen.looked:
        share = len(seen.refused) / seen.looked
        yield Setting(
            "contract.max_quarantined_share", _above(share),
            f"{len(other)} files are no pictures by their names, such as {other[0].name}",
        )  # fmt: skip
    if seen.exact_copies > _LIMITS["copies"]:
        yield Setting(
            "contract.max_duplicate_share", _above(seen.exact_copies), f"{seen.exact_copies:.1%} are exact copies"
        )
    if seen.flat > _LIMITS["flat"]:
        yield Setting("contract.max_flat_share", _above(seen.flat), f"{seen.flat:.1%} have a single level throughout")
    if labels == "folders":
        sizes = seen.classes.values()
        if max(sizes) > _LIMITS["imbalance"] * min(sizes):
            value = math.ceil(1.5 * max(sizes) / min(sizes))
            yield Setting("contract.max_class_imbalance", float(value), "so uneven are the classes")


def _above(share: float) -> float:
    return min(0.99, math.ceil(150 * share) / 100)


def _augmentation(seen: PictureProfile, n: int, side: int) -> Iterator[Setting]:
    if seen.mirrored is not None:
        is_near = seen.mirrored < _MIRROR_LIMIT
        words = "cannot be told from the pictures" if is_near else "differ from the pictures"
        why = f"mirror images {words} as a whole: distance {seen.mirrored:.3f}, limit {_MIRROR_LIMIT}"
        yield Setting("train.augment.horizontal_flip", 0.5 if is_near else 0.0, why)
    if n < _FEW:
        yield Setting(
            "train.augment.crop.probability", 0.5, "few pictures: each is moved by a pixel or two half of the time"
        )
        yield Setting("train.augment.crop.pixels", max(1, side // 16))


def _sampling(grained: bool, untold: bool) -> Iterator[Setting]:
    if grained:
        why = "pictures with grain need small last steps, or samples come out too smooth"
        yield Setting("sample.sampler.spacing", "karras", why)
        yield Setting("sample.sampler.steps", 20)
    if untold:
        yield Setting("sample.guidance.weight", 0.0, "without labels there is nothing to guide by")
        yield Setting("sample.guidance.interval", None)


def _gate(labels: str, test: int) -> Iterator[Setting]:
    if labels == "none":
        yield Setting("gate.max_accuracy_loss", None, "without labels no sample can be of the wrong one")
    elif test < 500:
        yield Setting(
            "gate.max_accuracy_loss", 0.05, f"{test} unseen pictures tell a loss of 2 % from none only with luck"
        )


def _warnings(seen: PictureProfile, labels: str, train: int, test: int, side: int, path: str) -> Iterator[str]:
    n = train + test
    if train < _TRAIN_LEAST or test < _TEST_LEAST:
        yield (
            f"{n} pictures are too few: the contract wants {_TRAIN_LEAST} to learn from and {_TEST_LEAST} to judge "
            "with, so `ddpm run` will stop at stage validate (exit code 4). Give more"
        )
    elif test < _GATE_NEEDS:
        yield (
            f"about {test} pictures remain to judge with, and the gate wants {_GATE_NEEDS} (gate.min_samples): it will "
            f"say `not enough evidence` and promote nothing. {math.ceil(_GATE_NEEDS / 0.3):,} pictures would do; "
            "the model can be sampled all the same"
        )
    elif test < _MANY_TEST:
        yield f"with {test} pictures to judge with the gate may say `not enough evidence`; about {_MANY_TEST} are safe"
    broken = [each for each in seen.refused if each.is_named_like_a_picture]
    if seen.usable_share < 0.5:
        yield f"most of the files ({1 - seen.usable_share:.0%}) are no pictures that can be used: is this the folder?"
    if len(broken) > _LIMITS["quarantined"] * seen.looked:
        yield (
            f"{len(broken)} of {seen.looked} files are pictures by their names but cannot be used, and the contract "
            "allows 2 % (contract.max_quarantined_share): remove them or raise it. The first: "
            f"{broken[0].name}: {broken[0].reason}"
        )
    if seen.near > _LIMITS["near_duplicates"]:
        yield (
            f"{seen.near:.1%} of the pictures are near duplicates of another. They lie on one side of the split, so "
            "less is left to judge with than their number says, and the model learns them sooner: keep one of each"
        )
    yield from label_warnings(seen, labels)
    if side > seen.side:
        yield f"pictures are enlarged to {side} pixels; smaller than {MIN_SIDE} are refused"
    if seen.place.resolve() != seen.place and str(seen.place) not in path:
        yield f"the data are read from {seen.place}"
