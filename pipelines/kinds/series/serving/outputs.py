"""Samples of series as bytes: the same samples give the same bytes.

A value has the fewest digits that tell its float32. Tables are long: a row for each step, column, and sample or
quantile.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm_core.spec import LABEL
from pipelines.kinds.series.rows.fan import Fan, png
from pipelines.kinds.series.serving.question import Question
from pipelines.serving.base.serving import Samples

_DRAWN = 12  # columns in a picture


@dataclass(frozen=True, eq=False)
class AnswerRequest:
    """What a request says of its answer."""

    series: str
    columns: Sequence[str]
    times: Sequence[Any]
    """As text, or numbers of rows where no time was given."""
    drawn: tuple[str, str]
    """The first and the last time of a picture."""
    question: Question
    seeds: Sequence[int]
    label: int | None
    output: Literal["samples", "quantiles", "both"]
    levels: Sequence[float]


class Answer:
    """Samples [n, steps, columns] in the data's unit, and quantiles of them [levels, steps, columns]."""

    def __init__(self, samples: Samples) -> None:
        wanted: AnswerRequest = samples.about
        self.wanted, self.made_by = wanted, dict(samples.made_by)
        self.values = wanted.question.answer(samples.data, len(wanted.seeds)).transpose(0, 2, 1)
        self.quantiles = np.quantile(self.values, wanted.levels, axis=0).astype(np.float32)

    @property
    def parts(self) -> list[tuple[str, Sequence[Any], NDArray[np.float32]]]:
        """What was asked for: `sample` with its numbers, `quantile` with its levels, or both."""
        both = [
            ("sample", range(len(self.values)), self.values),
            ("quantile", self.wanted.levels, self.quantiles),
        ]
        return [part for part in both if self.wanted.output in ("both", f"{part[0]}s")]

    def encode(self, format: str) -> bytes:
        write = {"json": self.json, "csv": self.csv, "parquet": self.parquet, "npz": self.npz, "png": self.png}[format]
        return write()

    def json(self) -> bytes:
        """`made_by`, `series`, `columns`, `times`, and `samples` (with `seeds`) or `quantiles` by level, as rows."""
        content: dict[str, Any] = {
            "made_by": self.made_by,
            "series": self.wanted.series,
            "columns": list(self.wanted.columns),
            "times": list(self.wanted.times),
        }
        for name, keys, values in self.parts:
            if name == "sample":
                content |= {"seeds": list(self.wanted.seeds), "samples": shortest(values)}
            else:
                content["quantiles"] = dict(zip(map(str, keys), shortest(values), strict=True))
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
        return (text + "\n").encode()

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The long table with its head: series, time, column, sample or quantile or both, value."""
        names = [name for name, _, _ in self.parts]
        yield ("series", "time", "column", *names, "value")
        for name, keys, values in self.parts:
            for time, of_time in zip(self.wanted.times, values.transpose(1, 2, 0), strict=True):
                for column, of_column in zip(self.wanted.columns, shortest(of_time), strict=True):
                    for key, value in zip(keys, of_column, strict=True):
                        which = (key if each == name else None for each in names)
                        yield (self.wanted.series, time, column, *which, value)

    def csv(self) -> bytes:
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows(self.rows())
        return stream.getvalue().encode()

    def parquet(self) -> bytes:
        import pyarrow as pa
        import pyarrow.parquet as pq

        head, *rows = self.rows()
        types = {"value": pa.float32(), "sample": pa.int64(), "quantile": pa.float64()}
        columns = {
            name: pa.array(cells, types.get(name)) for name, cells in zip(head, zip(*rows, strict=True), strict=True)
        }
        stream = io.BytesIO()
        pq.write_table(pa.table(columns), stream)
        return stream.getvalue()

    def npz(self) -> bytes:
        """`samples` float32 [n, steps, columns] with `seeds`, `quantiles` [levels, steps, columns] with `levels`;
        `times`, `columns`, and `told` [steps, columns], true where the value was given."""
        arrays: dict[str, NDArray[Any]] = {
            "times": np.array(self.wanted.times),
            "columns": np.array(self.wanted.columns),
            "told": ~np.isnan(self.wanted.question.given.T),
        }
        for name, keys, values in self.parts:
            arrays[f"{name}s"] = values
            arrays |= (
                {"seeds": np.array(self.wanted.seeds, np.uint64)} if name == "sample" else {"levels": np.array(keys)}
            )
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=False, **arrays)
        return stream.getvalue()

    def png(self) -> bytes:
        """A fan chart of each of the first columns; the PNG's text says how they were made."""
        question, seeds = self.wanted.question, self.wanted.seeds
        told = np.concatenate([question.before, question.given], axis=1)
        before = question.before.shape[1]
        fans = []
        for place, column in enumerate(self.wanted.columns[:_DRAWN]):
            sampled = np.full((len(self.values), told.shape[1]), np.nan)
            sampled[:, before:] = np.where(np.isnan(question.given[place]), self.values[:, :, place], np.nan)
            title = f"{self.wanted.series} {column}".strip()
            fans.append(Fan(title, told[place], sampled, ends=self.wanted.drawn))
        about = {"seeds": f"{seeds[0]} to {seeds[-1]}", **self.made_by}
        return png(fans, text={f"ddpm {key}": value for key, value in about.items()})

    def records(self) -> list[dict[str, Any]]:
        """A record for each sample, step and column."""
        label = -1 if self.wanted.label is None else self.wanted.label
        return [
            {"seed": seed, LABEL: label, "time": str(time), "column": column, "value": value}
            for seed, of_sample in zip(self.wanted.seeds, shortest(self.values), strict=True)
            for time, of_time in zip(self.wanted.times, of_sample, strict=True)
            for column, value in zip(self.wanted.columns, of_time, strict=True)
        ]


def shortest(values: NDArray[np.float32]) -> Any:
    """Nested lists of the doubles with the fewest digits that tell each float32."""
    return values.astype(np.float32).astype("U32").astype(np.float64).tolist()
