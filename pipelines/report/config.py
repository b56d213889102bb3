"""The section `report` of params.yaml: what a report says of its data where the source does not."""

from dataclasses import dataclass, fields
from typing import ClassVar

from ddpm_core.checks import Checks, Config
from pipelines.kinds.facts import SourceFacts

UNTITLED = "Untitled model"


@dataclass(frozen=True)
class ReportConfig(Config):
    """What no program can know of a model: its title and the words of its card; null leaves it to the source."""

    title: str | None
    intended_use: str | None
    data_licence: str | None
    limits: str | None

    __checks__: ClassVar[Checks] = {
        name: (lambda v: v is None or bool(v.strip()), "null (the source's own words) or a text that is not empty")
        for name in ("title", "intended_use", "data_licence", "limits")
    }

    def beside(self, facts: SourceFacts) -> "ReportConfig":
        """These words, and the source's own where there are none; what neither says stays None."""
        return ReportConfig(
            **{
                field.name: getattr(facts, field.name) if (own := getattr(self, field.name)) is None else own
                for field in fields(self)
            }
        )

    @property
    def heading(self) -> str:
        return UNTITLED if self.title is None else self.title

    def said(self, name: str) -> str:
        """What the card says of `intended_use`, `data_licence` or `limits`."""
        words: str | None = getattr(self, name)
        return f"not stated (report.{name} in params.yaml says it)" if words is None else words
