"""What `ddpm run` does after its stages."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.commands.run import promote_judged
from pipelines.paths import Paths
from pipelines.release import promotion


def test_without_tracking_promotion_is_left_out_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(promotion, "promote", lambda *words: pytest.fail("something was promoted"))
    params: Any = SimpleNamespace(runtime=SimpleNamespace(tracking=False))
    with caplog.at_level("INFO"):
        promote_judged(params, Paths.of(tmp_path))
    assert caplog.messages == ["promotion  skipped: runtime.tracking is false, so there is no registry"]
