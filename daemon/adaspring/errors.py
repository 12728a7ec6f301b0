"""Every exception that AdaSpring raises on purpose.

Each inherits `AdaSpringError`, so that one ``except`` catches them all, and the
builtin that fits, so that code which knows nothing of us still does the right
thing::

    AdaSpringError
    ├── SpaceError (ValueError)            a search space that cannot exist
    │   └── GenomeError                    a genome outside its space
    ├── TableError (ValueError)            lookup tables that must not be used
    ├── FeatureError (ValueError)          raw samples, or a preprocessing of them, that cannot be
    ├── BundleError (ValueError)           a bundle that must not be loaded
    │   ├── BundleMissingError             a file of it is not there
    │   ├── BundleCorruptError             a file of it has another hash or content
    │   ├── BundleVersionError             a format this release does not read
    │   └── BundleSignatureError           not signed, or not by a key that is trusted
    ├── StoreError (OSError)               installed bundles could not be read or written
    ├── ConfigError (ValueError)           configuration that must be mended by a person
    ├── ResourceMissingError (FileNotFoundError)  a file that should ship with the package is not there
    ├── BoardError (ValueError)            a device profile that cannot be used
    ├── SensorError (OSError)              one reading could not be had (it becomes a reason)
    ├── EngineError (RuntimeError)         a subnet could not be assembled, loaded or run
    │   └── EngineMissingError             the library of an engine is not installed
    ├── AlreadyRunningError (RuntimeError) another daemon owns the socket
    ├── ProfileError (RuntimeError)        latency could not be measured
    ├── ProtocolError (ValueError)         a message that breaks OIP/Z 1
    ├── ClientError (RuntimeError)         the client's side of a request
    │   ├── KeysError (ValueError)         keys for TCP that cannot be made or used
    │   ├── ConnectError (ConnectionError) nobody answers at that address
    │   ├── TimedOutError (TimeoutError)   no answer in time
    │   └── ReplyError                     the daemon answered with an error code
    │       ├── InvalidArgumentError (ValueError)
    │       ├── NotFoundError (LookupError)
    │       ├── UnavailableError           the queue is full: try again later
    │       ├── DeadlineExceededError (TimeoutError)
    │       ├── CancelledError             cancelled by the client
    │       ├── UnsupportedError
    │       └── InternalError
    └── WorkbenchError (RuntimeError)      training or evaluation had to stop
        ├── StageOverError                 the minutes of a training stage are over; its checkpoint goes on
        ├── RecipeError (ValueError)       a recipe that cannot be trained
        └── DataError (ValueError)         data that is missing or does not fit its recipe
"""


class AdaSpringError(Exception):
    """Base of everything that AdaSpring raises on purpose."""


class SpaceError(AdaSpringError, ValueError):
    """A search space that cannot exist, for example a skip across a stride, or what belongs to another one."""


class GenomeError(SpaceError):
    """A genome that names no subnet of its space."""


class TableError(AdaSpringError, ValueError):
    """Lookup tables that must not be used: wrong shape, version, sign or NaN."""


class FeatureError(AdaSpringError, ValueError):
    """Raw samples that do not fit their preprocessing, or a preprocessing that cannot be built."""


class BundleError(AdaSpringError, ValueError):
    """A bundle that must not be loaded."""


class BundleMissingError(BundleError, FileNotFoundError):
    """A file that the manifest names, or the manifest itself, is not there."""


class BundleCorruptError(BundleError):
    """A file of the bundle differs from what the manifest promises."""


class BundleVersionError(BundleError):
    """The bundle has a format that this release does not read."""


class BundleSignatureError(BundleError):
    """The bundle is not signed, or not by a key that is trusted."""


class StoreError(AdaSpringError, OSError):
    """The store of installed bundles could not be read or written."""


class ConfigError(AdaSpringError, ValueError):
    """Configuration that a person must mend; the daemon exits with 78 on it."""


class ResourceMissingError(AdaSpringError, FileNotFoundError):
    """A bundle, profile or unit that should ship with the package is not there."""


class BoardError(AdaSpringError, ValueError):
    """A device profile that cannot be used."""


class SensorError(AdaSpringError, OSError):
    """One reading could not be had. It never leaves `context`: it becomes a reason."""


class EngineError(AdaSpringError, RuntimeError):
    """A subnet could not be assembled, loaded or run."""


class EngineMissingError(EngineError):
    """The library behind an engine is not installed."""


class AlreadyRunningError(AdaSpringError, RuntimeError):
    """Another daemon owns the socket; it was left unharmed."""


class ProfileError(AdaSpringError, RuntimeError):
    """Latency could not be measured on this device."""


class ProtocolError(AdaSpringError, ValueError):
    """A message that breaks OIP/Z 1.

    Attributes:
        code: The error code of the reply, for example ``"INVALID_ARG"``.
        reason: One word for counters, for example ``"shape"``.
        request_id: The ``id`` of the request where it could be read, else ``""``.
    """

    def __init__(
        self, message: str, *, code: str = "INVALID_ARG", reason: str = "header", request_id: str = ""
    ) -> None:
        """Say what is wrong, and where it belongs."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.request_id = request_id


class ClientError(AdaSpringError, RuntimeError):
    """Something went wrong on the client's side of a request."""


class KeysError(ClientError, ValueError):
    """CURVE keys that cannot be made or used."""


class ConnectError(ClientError, ConnectionError):
    """Nobody answers at that address."""


class TimedOutError(ClientError, TimeoutError):
    """No answer came in time."""


class ReplyError(ClientError):
    """The daemon answered with an error.

    Attributes:
        code: The error code of OIP/Z 1, for example ``"UNAVAILABLE"``.
        retry_after_ms: When to try again, in milliseconds, where the daemon said so.
    """

    code = "INTERNAL"

    def __init__(self, message: str, *, retry_after_ms: int | None = None) -> None:
        """Take what the daemon said."""
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class InvalidArgumentError(ReplyError, ValueError):
    """INVALID_ARG: the request names or carries something that the model does not take."""

    code = "INVALID_ARG"


class NotFoundError(ReplyError, LookupError):
    """NOT_FOUND: the daemon does not serve this model."""

    code = "NOT_FOUND"


class UnavailableError(ReplyError):
    """UNAVAILABLE: the queue is full or the daemon is draining."""

    code = "UNAVAILABLE"


class DeadlineExceededError(ReplyError, TimeoutError):
    """DEADLINE_EXCEEDED: the request expired in the queue and was not computed."""

    code = "DEADLINE_EXCEEDED"


class CancelledError(ReplyError):
    """CANCELLED: the client cancelled the request before it was computed."""

    code = "CANCELLED"


class UnsupportedError(ReplyError):
    """UNSUPPORTED: the daemon knows the request but does not offer it."""

    code = "UNSUPPORTED"


class InternalError(ReplyError):
    """INTERNAL: the daemon failed; its journal says how."""

    code = "INTERNAL"


class WorkbenchError(AdaSpringError, RuntimeError):
    """Training or evaluation had to stop."""


class StageOverError(WorkbenchError):
    """The minutes of a training stage are over; its checkpoint goes on."""


class RecipeError(WorkbenchError, ValueError):
    """A recipe that cannot be trained."""


class DataError(WorkbenchError, ValueError):
    """Data that is missing or does not fit its recipe."""
