"""The errors that a user can meet, each with the exit code that the command line returns for it.

    DdpmError                      1    something of ours went wrong
    ├── ParamsError                2    a parameter or an argument is not allowed
    ├── GateFailed                 3    the model was judged and did not pass
    ├── ContractFailed             4    the data do not keep the contract
    ├── NonFiniteError             5    a loss or a gradient stopped being a number
    ├── DataError                  1    a picture, an archive or a data set cannot be used
    │   └── Unreachable           75    what must be fetched cannot be at the moment
    ├── IntegrityError             1    bytes on disk are not the bytes that were written
    ├── DeviceError                1    the device that was asked for is not there
    ├── ExportError                1    a model cannot be exported, or its export does not agree with it
    ├── TrackingError              1    the tracking store cannot be used
    │   └── StoreUnreachable      75    it does not answer at the moment
    ├── PromotionRefused           3    the model is not to be promoted
    ├── TryAgain                  75    it may pass by itself; the same command may do later
    └── Stopped                  143    a signal came; the work was saved first

Every message says what must hold, what came and how to mend it.
"""


class DdpmError(Exception):
    """The root: everything this project raises on purpose."""

    exit_code = 1


class ParamsError(DdpmError):
    """A parameter or an argument is unknown, of the wrong type or out of range."""

    exit_code = 2


class GateFailed(DdpmError):
    """The model was judged and did not pass."""

    exit_code = 3


class ContractFailed(DdpmError):
    """The data do not keep the contract."""

    exit_code = 4


class NonFiniteError(DdpmError):
    """A loss or a gradient stopped being a number."""

    exit_code = 5


class DataError(DdpmError):
    """A picture, an archive or a data set cannot be used."""


class Unreachable(DataError):
    """What must be fetched from elsewhere cannot be at the moment."""

    exit_code = 75


class IntegrityError(DdpmError):
    """Bytes on disk are not the bytes that were written."""


class DeviceError(DdpmError):
    """The device that was asked for is not there."""


class ExportError(DdpmError):
    """A model cannot be exported, or its export does not agree with it."""


class TrackingError(DdpmError):
    """The tracking store cannot be used."""


class StoreUnreachable(TrackingError):
    """The tracking store does not answer at the moment."""

    exit_code = 75


class PromotionRefused(DdpmError):
    """The model is not to be promoted."""

    exit_code = 3


class TryAgain(DdpmError):
    """It may pass by itself, as a busy lock does: the same command may do later."""

    exit_code = 75  # what sendmail and others mean by it: a temporary failure


class Stopped(DdpmError):
    """A signal came; the work was saved first."""

    exit_code = 143
