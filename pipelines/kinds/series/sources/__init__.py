"""Where series come from: one file a source, each with `path` (what DVC watches), `facts` and `listing`."""

from pipelines.kinds.series.sources.csv_files import CsvFiles
from pipelines.kinds.series.sources.packaged import BeijingAir, ElectricityDemand
from pipelines.kinds.series.sources.parquet_files import ParquetFiles

SourceConfig = ElectricityDemand | BeijingAir | CsvFiles | ParquetFiles

__all__ = ["BeijingAir", "CsvFiles", "ElectricityDemand", "ParquetFiles", "SourceConfig"]
