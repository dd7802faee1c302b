"""Composition root of the control API: the app from its parts, and the process that serves it.

Decides what is wired to what, on which socket it listens, and that nothing listens beyond loopback without TLS unless a
setting says so. Called by `dagdeckd` (`run_api`) and by tests (`create_app`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import ipaddress
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_core.lifeline import UNWATCHED, Lifeline
from dagdeck_core.ports import Broker
from dagdeck_io.settings import Settings
from dagdeck_master.api.actions import ActionDoor
from dagdeck_master.api.auth import Authority, authorise
from dagdeck_master.api.client_address import ClientAddresses
from dagdeck_master.api.context import ApiContext
from dagdeck_master.api.database import ApiDatabase
from dagdeck_master.api.errors import install_error_handlers
from dagdeck_master.api.live import LiveCluster
from dagdeck_master.api.permissions import require_rules
from dagdeck_master.api.push import route as push
from dagdeck_master.api.push.streams import EventStreams, StreamLimits
from dagdeck_master.api.rate_limit import RateLimit
from dagdeck_master.api.refusals import Refusals
from dagdeck_master.api.reply import openapi_document
from dagdeck_master.api.request_layer import RequestFigures, RequestLayer
from dagdeck_master.api.routes import (
    admin,
    assets,
    dags,
    explanations,
    grants,
    human,
    monitoring,
    outputs,
    own,
    runs,
    states,
    task_instances,
    tokens,
)
from dagdeck_master.api.specs import SpecCache
from dagdeck_master.api.tls import LOOK_SECONDS, ServerCertificate, server_certificate
from dagdeck_master.api.users import Lockout

if TYPE_CHECKING:
    import uvicorn

_logger = logging.getLogger(__name__)
ROUTERS: tuple[APIRouter, ...] = (
    dags.router,
    runs.router,
    outputs.router,
    explanations.router,
    states.router,  # before task instances, whose paths take its name for a map index
    human.router,
    task_instances.router,
    assets.router,
    admin.router,
    own.router,
    monitoring.router,
    tokens.router,
    grants.router,
    push.router,
)
DESCRIPTION = "DagDeck's control API: Airflow 3.3's public REST API under /api/v2, DagDeck's own under /api/dagdeck/v1."
STOP_SECONDS = 5
SIGN_OF_LIFE_SECONDS = 1.0


def product_version() -> str:
    """The installed distribution's version."""
    try:
        return version("dagdeck")
    except PackageNotFoundError:
        return "0+unknown"


def create_app(
    database: ApiDatabase,
    broker: Broker | None,
    settings: Settings,
    *,
    connect_live: Callable[[], Broker] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """The app over a database. `broker` wakes the scheduler; `connect_live` gives further adapters for live views.

    Raises Bug when an operation has no rule in `permissions`.
    """
    authority = Authority(
        database=database,
        clock=clock,
        token_lifetime=timedelta(hours=settings.api.token_hours),
        longest_lifetime=timedelta(hours=settings.api.longest_token_hours),
        lockout=Lockout(
            attempts=settings.security.login_attempts,
            duration=timedelta(seconds=settings.security.login_lockout),
        ),
    )
    limits = StreamLimits(streams=settings.api.max_streams, streams_per_user=settings.api.max_streams_per_user)
    context = ApiContext(
        database=database,
        clock=clock,
        settings=settings,
        authority=authority,
        streams=EventStreams(database, connect_live, authority, limits=limits),
        door=ActionDoor(database=database, clock=clock, broker=broker, wait=settings.api.action_wait),
        live=LiveCluster(connect_live),
        specs=SpecCache(),
        version=product_version(),
        requests=RequestFigures(),
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.api.threads
        yield
        await context.streams.close()
        await anyio.to_thread.run_sync(context.live.close)

    app = FastAPI(
        title="DagDeck API",
        version=context.version,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.context = context
    for router in ROUTERS:
        app.include_router(router, dependencies=[Depends(authorise)])
    require_rules(operations())
    install_error_handlers(app, Refusals().record)
    app.add_middleware(
        RateLimit,
        per_second=settings.api.requests_per_second,
        sign_ins_per_minute=settings.api.sign_ins_per_minute,
    )
    app.add_middleware(
        RequestLayer,
        max_bytes=settings.api.max_request_bytes,
        addresses=ClientAddresses(settings.api.trusted_proxies),
        next_certificate=lambda: _announced(app),
        figures=context.requests,
        release=context.version,
    )
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
    return app


def _announced(app: FastAPI) -> str | None:
    certificate: ServerCertificate | None = getattr(app.state, "certificate", None)
    return None if certificate is None else certificate.announced


def operations() -> list[str]:
    """The operation_id of every route of the API.

    Taken from the routers: the OpenAPI document has the same, but costs 0.3 s and 5 MB, so it is made when asked for.
    """
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return [route.operation_id or route.path for route in routes]


# ---------------------------------------------------------------- the process


def run_api(settings: Settings, *, ready: Callable[[], None], lifeline: Lifeline = UNWATCHED) -> int:
    """Serve until SIGTERM or SIGINT; returns the process's exit code.

    `ready` is called once requests are answered. Raises UserError for settings that do not go
    together, EnvironmentFault when the port is taken or the database does not answer.
    """
    from dagdeck_io.composition import broker_of, database_of

    check_exposure(settings)
    listener = bind(settings.api.host, settings.api.port)
    with contextlib.ExitStack() as parts:
        parts.callback(listener.close)
        database = database_of(settings)
        parts.callback(database.close)

        broker = broker_of(settings)
        parts.callback(broker.close)
        app = create_app(database, broker, settings, connect_live=lambda: broker_of(settings))
        return serve(app, listener, settings, ready, lifeline)


def check_exposure(settings: Settings) -> None:
    """Raise UserError when the API would listen beyond loopback without TLS, or TLS is half configured."""
    api = settings.api
    if (api.tls_certificate is None) != (api.tls_key is None):
        missing = "api.tls_key" if api.tls_key is None else "api.tls_certificate"
        raise UserError(
            "TLS needs a certificate and its key", field=missing, remedy="Set both api.tls_certificate and api.tls_key"
        )
    if api.tls_certificate is None and not api.allow_plain_http and not is_loopback(api.host):
        raise UserError(
            "the API would be reachable from other machines without TLS, passwords and tokens readable on the way",
            field="api.host",
            value=api.host,
            remedy="Set api.tls_certificate and api.tls_key, or api.allow_plain_http behind a proxy that ends TLS",
        )


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises EnvironmentFault naming port and setting when it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise EnvironmentFault(
            f"the address {host!r} cannot be listened on: {error}",
            transient=False,
            remedy="Change the setting api.host",
        ) from error
    try:
        if sys.platform != "win32":  # where it would take the port away from whoever has it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(256)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise EnvironmentFault(
                f"port {port} of {host} is taken by another process",
                transient=False,
                remedy="Stop that process, or choose another port with the setting api.port (DAGDECK__API__PORT)",
            ) from error
        raise EnvironmentFault(
            f"port {port} of {host} cannot be listened on: {error.strerror or error}",
            transient=False,
            remedy="Change the settings api.host and api.port",
        ) from error
    return listener


def url_of(listener: socket.socket, settings: Settings) -> str:
    """The URL under which this machine reaches the API."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    scheme = "https" if settings.api.tls_certificate is not None else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def serve(
    app: FastAPI,
    listener: socket.socket,
    settings: Settings,
    ready: Callable[[], None],
    lifeline: Lifeline = UNWATCHED,
) -> int:
    """Serve `app` on `listener` until a signal; the exit code, 0 after a clean end."""

    def announce() -> None:
        _logger.info("listening on %s", url_of(listener, settings))
        ready()

    server = make_server(app, settings, announce, lifeline)
    gc.collect()
    gc.freeze()
    server.run(sockets=[listener])
    return 0 if server.started else 1


def make_server(
    app: FastAPI, settings: Settings, on_ready: Callable[[], Any], lifeline: Lifeline = UNWATCHED
) -> uvicorn.Server:
    """A uvicorn server in this process that calls `on_ready` once it accepts requests.

    Raises UserError when the certificate cannot be used.
    """
    import uvicorn

    app.state.certificate = certificate = server_certificate(settings)

    class AnnouncingServer(uvicorn.Server):
        """Tells when it is ready, and ends the event streams when it is to stop: they would go on for ever."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                self._look_at_certificate()
                on_ready()
                if lifeline is not UNWATCHED:
                    self._tell_alive()

        def _tell_alive(self) -> None:
            """From the event loop itself: while it hangs, nothing is told."""
            lifeline.alive()
            asyncio.get_running_loop().call_later(SIGN_OF_LIFE_SECONDS, self._tell_alive)

        def _look_at_certificate(self) -> None:
            if certificate is not None:
                certificate.look()
                asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look_at_certificate)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.state.context.streams.end_all()
            await super().shutdown(sockets=sockets)

    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # see client_address
        timeout_keep_alive=75,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    config.load()
    if certificate is not None:
        config.ssl = certificate.context
    return AnnouncingServer(config)
