"""The errors that a user can get, each with the exit code of the command line.

    DdpmError                      1    an error of this project
    ├── ParamsError                2    a parameter or an argument is not allowed
    ├── GateFailed                 3    the model did not pass the gate
    ├── ContractFailed             4    the data break the contract
    ├── NonFiniteError             5    the loss or gradient was not finite
    ├── DataError                  1    a datum, an archive or a data set cannot be used
    │   └── Unreachable           75    a download failed; retry
    ├── IntegrityError             1    a file is damaged: it is not what was written
    ├── DeviceError                1    the requested device is not available
    ├── ExportError                1    a model cannot be exported, or its export differs from it
    ├── TrackingError              1    the tracking store cannot be used
    │   └── StoreUnreachable      75    the tracking store does not answer; retry
    ├── PromotionRefused           3    the model is not promoted
    ├── TryAgain                  75    temporary failure; retry
    └── Stopped                  143    stopped by a signal after saving

Every message says what must hold, what came and how to mend it.
"""


class DdpmError(Exception):
    """The base class of all errors that this project raises on purpose."""

    exit_code = 1


class ParamsError(DdpmError):
    """A parameter or an argument is unknown, of the wrong type or out of range."""

    exit_code = 2


class GateFailed(DdpmError):
    """The model did not pass the gate."""

    exit_code = 3


class ContractFailed(DdpmError):
    """The data break the contract."""

    exit_code = 4


class NonFiniteError(DdpmError):
    """The loss or gradient was not finite."""

    exit_code = 5


class DataError(DdpmError):
    """A datum, an archive or a data set cannot be used."""


class Unreachable(DataError):
    """A download failed; temporary, retry."""

    exit_code = 75


class IntegrityError(DdpmError):
    """A file is damaged: its bytes are not those that were written."""


class DeviceError(DdpmError):
    """The requested device is not available."""


class ExportError(DdpmError):
    """A model cannot be exported, or its export differs from it."""


class TrackingError(DdpmError):
    """The tracking store cannot be used."""


class StoreUnreachable(TrackingError):
    """The tracking store does not answer; temporary, retry."""

    exit_code = 75


class PromotionRefused(DdpmError):
    """The model is not promoted."""

    exit_code = 3


class TryAgain(DdpmError):
    """A temporary failure, such as a busy lock; retry the same command."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class Stopped(DdpmError):
    """Stopped by a signal, after saving."""

    exit_code = 143
