"""From a table without times to parameters of points in the plane: each value with its reason."""

import math
from collections.abc import Iterator

from ddpm_core.errors import DataError
from pipelines.kinds.choice import Chosen, ProfileRequest, Setting, source_text
from pipelines.kinds.table_columns import left_out, nearly_numbers, unread_times
from pipelines.kinds.table_profile import TableProfile

_LEAST, _GATE_NEEDS = 85, 100


def parameters_for(request: ProfileRequest) -> Chosen | None:
    """Of a table without times."""
    table = request.table
    return None if table is None or table.time is not None else choose(table, request.path(request.place))


def choose(table: TableProfile, path: str) -> Chosen:
    if table.is_parquet:
        raise DataError(
            f"--data: {table.path} must have a column of times, or be a CSV file of points; write it as CSV"
        )
    label = table.classes
    numbers = [column.name for column in table.numbers if column is not label]
    if len(numbers) < 2:
        raise DataError(
            f"--data: {table.path} must have a column of times, or two columns of numbers, got the columns "
            f"{', '.join(column.name for column in table.columns)[:200]}; {len(numbers)} of them hold numbers that vary"
            f"{unread_times(table)}" + "".join(f". {each}" for each in nearly_numbers(table, numbers))
        )
    n, (x, y) = len(table.rows), numbers[:2]
    used = (x, y, label.name if label else None)
    train = round(0.75 * n)
    batch = min(256, 2 ** int(math.log2(max(2, train))))
    choices = [
        Setting("source.path", path),
        Setting("source.x", x, "the first columns of numbers that vary"),
        Setting("source.y", y),
        Setting(
            "source.class_column", label.name if label else None, f"{label.distinct} different words" if label else ""
        ),
        Setting("source.delimiter", table.delimiter),
        Setting("source.decimal", table.decimal, "numbers have a decimal comma" if table.decimal == "," else ""),
        Setting("train.batch_size", batch, f"{train} points to learn from" if batch < 256 else ""),
        Setting("reference.control_points", min(500, n - train)),
        *_contract(table, x, y),
        *(
            []
            if label
            else [Setting("gate.max_accuracy_loss", None, "without classes no sample can be of the wrong one")]
        ),
    ]
    return Chosen(
        about="points in the plane" + (f" in {label.distinct} classes" if label else ""),
        template="points",
        source=source_text(__file__, "points"),
        found=(
            f"a table of {n:,} rows without times, cells separated by {table.delimiter!r}: points",
            f"columns of numbers that vary: {', '.join(numbers)}",
            *([f"columns left out: {others}"] if (others := left_out(table, used)) else []),
        ),
        warnings=(*nearly_numbers(table, used), *_warnings(numbers, n), *_of_times(table)),
        choices=tuple(choices),
        train_count=train,
        test_count=n - train,
        prepare_seconds=1.0,
    )


def _of_times(table: TableProfile) -> Iterator[str]:
    if text := unread_times(table):
        yield f"it is taken as points, for no column holds times{text}"


def _contract(table: TableProfile, x: str, y: str) -> Iterator[Setting]:
    places = list(zip(table.cells(x), table.cells(y), strict=True))
    missing = sum(None in place for place in places) / len(places)
    copies = 1 - len(set(places)) / len(places)
    for key, share, limit, why in (
        ("max_quarantined_share", missing, 0.02, "so many rows lack a number"),
        ("max_duplicate_share", copies, 0.02, "so many points lie at the very place of another, as rounded numbers do"),
    ):
        if share > limit:
            yield Setting(f"contract.{key}", min(0.99, math.ceil(120 * share) / 100), why)


def _warnings(numbers: list[str], n: int) -> Iterator[str]:
    if len(numbers) > 2:
        yield f"a point has two numbers, and {len(numbers)} columns hold some: source.x and source.y name the two"
    if n < _LEAST:
        yield f"{n} points are too few: the contract wants 64 to learn from, so `ddpm run` will stop at stage validate"
    elif n / 4 < _GATE_NEEDS:
        yield (
            f"{n // 4} points remain to judge with, and the gate wants {_GATE_NEEDS} (gate.min_samples): it will say "
            "`not enough evidence` and promote nothing. The model can be sampled all the same"
        )
