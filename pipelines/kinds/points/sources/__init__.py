"""Where points come from: one file a source, each with `path` (what DVC watches), `facts` and `listing`."""

from pipelines.kinds.points.sources.csv_files import CsvFiles
from pipelines.kinds.points.sources.two_moons import TwoMoons

SourceConfig = CsvFiles | TwoMoons

__all__ = ["CsvFiles", "SourceConfig", "TwoMoons"]
