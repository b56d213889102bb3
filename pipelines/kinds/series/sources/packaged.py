"""Series that need no network: files beside this one, each made once from an open data set (docs/series.md)."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from pipelines.kinds.facts import SourceFacts
from pipelines.kinds.series.sources.found import SeriesListing, SeriesSource
from pipelines.kinds.series.sources.parquet_files import parquet_lines


@dataclass(frozen=True)
class Packaged(SeriesSource):
    """A Parquet file with a column `time` and columns of numbers. `path` names it."""

    about: ClassVar[SourceFacts]

    def facts(self) -> SourceFacts:
        return self.about

    def listing(self, root: Path) -> SeriesListing:
        header, lines = parquet_lines(root / self.path)
        rows = [cells for _, _, cells in lines]
        values = np.array([[np.nan if cell is None else cell for cell in row[1:]] for row in rows], dtype=np.float64)
        places = [f"{Path(self.path).name}:{number}" for number in range(1, len(rows) + 1)]
        return SeriesListing(
            tuple(header[1:]), places, [""] * len(rows), [row[0] for row in rows], values, [], (), values[:, :0]
        )


@dataclass(frozen=True)
class ElectricityDemand(Packaged):
    """Hourly electricity demand of 321 clients together, 2012 to 2014."""

    kind: Literal["electricity"]

    about = SourceFacts(
        model_name="ddpm-electricity",
        title="Electricity demand by diffusion",
        intended_use="Learning and trying: how the demand of the coming day may go, with its uncertainty.",
        data_licence="CC BY 4.0: Monash time series repository, electricity hourly (UCI ElectricityLoadDiagrams).",
        limits="It knows the clients of one country from 2012 to 2014, no weather and no holidays.",
    )


@dataclass(frozen=True)
class BeijingAir(Packaged):
    """Hourly fine dust and weather in Beijing, 2010 to 2014, with the gaps that the instruments left."""

    kind: Literal["beijing_air"]

    about = SourceFacts(
        model_name="ddpm-beijing-air",
        title="Beijing's air by diffusion",
        intended_use="Learning and trying: what an instrument would have shown while it was off.",
        data_licence="CC BY 4.0: UCI, Beijing PM2.5 (Song Chen).",
        limits="It knows one place from 2010 to 2014.",
    )
