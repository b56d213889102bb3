"""The server around the application: its sockets, its signals, and how it ends."""

import asyncio
import errno
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from ddpm_core.errors import DdpmError
from pipelines.serving.app import metrics_of
from pipelines.serving.hosted import Models
from pipelines.serving.ops.assemble import operated, server_config
from pipelines.serving.ops.connections import Connections
from pipelines.serving.ops.settings import Settings

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class Server(uvicorn.Server):
    """A server that refuses new work when it is told to stop, and finishes what it can of the rest in the time.

    For `drain_seconds` before that it accepts requests as before, but says that it is not ready, so that who sends
    requests here takes another server.
    """

    def __init__(self, config: uvicorn.Config, models: Models, seconds: float, drain_seconds: float = 0.0) -> None:
        super().__init__(config)
        self._models, self._seconds, self._drain_seconds = models, seconds, drain_seconds

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGHUP stops as SIGTERM does, unless the process was told to ignore it, as by nohup."""
        with super().capture_signals():
            here = threading.current_thread() is threading.main_thread()
            if not here or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
                yield
                return
            before = signal.signal(signal.SIGHUP, self._hang_up)
            try:
                yield
            finally:
                signal.signal(signal.SIGHUP, before)

    def _hang_up(self, _number: int, frame: FrameType | None) -> None:
        self.handle_exit(signal.SIGTERM, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._models.leave()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._drain_seconds
        while loop.time() < end and not self.force_exit:
            await asyncio.sleep(_LOOK_SECONDS)
        self._models.drain(self._seconds)
        await super().shutdown(sockets)
        self._models.close()  # a second ctrl-c leaves out the end of the lifespan


def server_of(app: FastAPI, settings: Settings) -> Server:
    """The server of an application, with everything around it that an operator needs."""
    models: Models = app.state.models
    connections = Connections(settings.connections)
    metrics = metrics_of(models, connections)
    config = server_config(operated(app, settings, metrics, connections), settings, connections, metrics.malformed)
    return Server(config, models, settings.stop_timeout, settings.drain)


def serve(app: FastAPI, settings: Settings) -> None:
    """Serve an application until a signal comes; running requests are finished."""
    sockets = bound(settings.host, settings.port)
    server = server_of(app, settings)
    routes = ", ".join(f"POST {path}" for path in app.state.models.routes)
    scheme, port = "http" if settings.tls_cert is None else "https", sockets[0].getsockname()[1]
    log.info("serving on %s://%s:%d (%s); stop with ctrl-c", scheme, settings.host, port, routes)
    try:
        server.run(sockets)
    except KeyboardInterrupt:
        log.info("stopped")


def bound(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of a host; DdpmError where none can be had, or one is in use."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise DdpmError(f"--host: must be an address or a name of this machine, got {host} ({error})") from error
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            sockets.append(_bound(family, kind, protocol, address))
        except OSError as error:
            if error.errno in _NOT_HERE:  # a name may have an address of a family that this machine does not speak
                missing = error
                continue
            for each in sockets:
                each.close()
            raise _refused(host, port, error) from error
    if not sockets:
        raise _refused(host, port, missing or OSError(errno.EADDRNOTAVAIL, "no address")) from missing
    return sockets


def _bound(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen()  # only this tells that another process listens there too
    except OSError:
        made.close()
        raise
    return made


def _refused(host: str, port: int, error: OSError) -> DdpmError:
    if error.errno == errno.EADDRINUSE:
        return DdpmError(
            f"--port: {port} is in use on {host}; choose another with --port NUMBER (or DDPM_SERVE_PORT; 0: any that "
            "is free), or stop what listens there"
        )
    return DdpmError(
        f"--host, --port: must be an address of this machine and a port that you may use, got {host} and {port} "
        f"({error.strerror})"
    )
