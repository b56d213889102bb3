"""Exit codes are a promise to scripts and schedulers, so they are written down here a second time."""

import pytest

from ddpm_core import errors

CODES = {
    "DdpmError": 1,
    "ParamsError": 2,
    "GateFailed": 3,
    "PromotionRefused": 3,
    "ContractFailed": 4,
    "NonFiniteError": 5,
    "DataError": 1,
    "IntegrityError": 1,
    "DeviceError": 1,
    "ExportError": 1,
    "TrackingError": 1,
    "Unreachable": 75,
    "TryAgain": 75,
    "Stopped": 143,
}


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_an_error_has_the_exit_code_that_the_docs_promise(name: str, code: int) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.DdpmError)
    assert kind("why").exit_code == code


def test_none_of_them_is_success() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DdpmError)]
    assert len(kinds) >= len(CODES)
    assert all(kind.exit_code > 0 for kind in kinds)
