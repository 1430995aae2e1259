"""Reads typed settings from the environment, once; nothing else reads it."""

import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from . import database_urls, env_files, public_urls
from .allowed_addresses import AllowedHost, Network, parse_allowed
from .database_urls import BadDatabaseUrl
from .env_files import EnvFileError
from .environment import Env, EnvError
from .lazy_imports import lazy
from .public_urls import BadPublicUrl

if TYPE_CHECKING:
    import platformdirs
else:
    platformdirs = lazy("platformdirs")


def _project_folder() -> Path:
    """Return the folder where relative paths start: the checkout, or the user's data folder where pip installed us."""
    above = Path(__file__).resolve().parent.parent
    return above if (above / "app.py").is_file() else platformdirs.user_data_path("smsgw")


PROJECT_FOLDER = _project_folder()
DATA_FOLDER = PROJECT_FOLDER / "data"
HIGHEST_LIMIT = 1_000_000_000
RETRY_SCHEDULE = (0, 5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400, 72000, 86400)


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the message is one line that names it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The values that can be set. The environment variable of a field is `SMSGW_` and its name in capitals."""

    database_url: str
    host: str
    port: int
    workers: int
    threads: int
    public_url: str | None
    secret_key: str | None
    operator_key: str | None
    lease_seconds: int
    segments_per_minute: int
    segments_per_hour: int | None
    segments_per_day: int | None
    recipients_per_month: int | None
    in_flight_per_device: int
    default_ttl_seconds: int
    device_offline_seconds: int
    silent_receiving_days: int
    default_region: str | None
    webhook_timeout_seconds: float
    webhook_retry_schedule: tuple[float, ...]
    webhook_allowed_networks: tuple[Network | AllowedHost, ...]
    retention_days: int
    queue_limit: int | None
    device_queue_limit: int | None
    requests_per_minute: int | None
    webhooks_per_crm: int
    open_registration: bool
    open_crm_registration: bool
    devices_per_crm: int
    metrics_public: bool
    log_format: str
    log_level: str
    trusted_proxies: int

    @property
    def base_url(self) -> str:
        """Return where people and phones reach us, without a slash at the end."""
        return self.public_url or f"http://127.0.0.1:{self.port}"


def environment_names() -> list[str]:
    """Return the environment variables that are read, in the order of the table in docs/settings.md."""
    return [f"SMSGW_{field.name.upper()}" for field in fields(Settings)]


def names_address() -> bool:
    """Return whether the environment says at which address the server is."""
    return any(os.environ.get(name) for name in ("SMSGW_PORT", "SMSGW_PUBLIC_URL"))


def load() -> Settings:
    """Read the settings from the environment and from the file that SMSGW_ENV_FILE names.

    Raises `SettingsError` with one line that names the variable when a value cannot be used.
    """
    env = Env(prefix="SMSGW_")
    try:
        env_files.add()
        return _read(env)
    except (EnvError, EnvFileError) as error:
        raise SettingsError(str(error)) from None


def warnings() -> list[str]:
    """Return, after `load`, a line for each `SMSGW_` variable that is no setting, and for a file not to be read."""
    return env_files.warnings(environment_names())


def database_url(url: str, name: str = "SMSGW_DATABASE_URL") -> str:
    """Return the URL as a `Database` takes it; raise `SettingsError`, which begins with this name of what gave it."""
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        if not path or path == ":memory:":
            raise SettingsError(f"{name}: SQLite needs a file, such as sqlite:///data/smsgw.db")
        if "?" in path or path.startswith("file:"):
            raise SettingsError(
                f"{name}: after sqlite:/// comes the path alone, without 'file:' and '?'"
            )
        return f"sqlite:///{(PROJECT_FOLDER / path).resolve()}"
    try:
        return database_urls.postgresql(url)
    except BadDatabaseUrl as error:
        raise SettingsError(f"{name}: {error}") from None


def secret_key(settings: Settings, folder: Path = DATA_FOLDER) -> str:
    """Return the key that signs cookies: the setting, or the one made under `data/` on the first start."""
    if settings.secret_key is not None:
        return settings.secret_key
    path = folder / "secret_key"
    if not path.exists():
        _make_secret_key(path)
    return path.read_text().strip()


def _read(env: Env) -> Settings:
    return Settings(
        database_url=database_url(_text(env, "DATABASE_URL") or "sqlite:///data/smsgw.db"),
        host=env.text("HOST", "0.0.0.0"),
        port=env.whole("PORT", 8000, least=0, most=65535),
        workers=env.whole("WORKERS", 2, least=1),
        threads=env.whole("THREADS", 16, least=1),
        public_url=_public_url(_text(env, "PUBLIC_URL")),
        secret_key=_text(env, "SECRET_KEY"),
        operator_key=_operator_key(_text(env, "OPERATOR_KEY")),
        lease_seconds=env.whole("LEASE_SECONDS", 120, least=1),
        segments_per_minute=env.whole("SEGMENTS_PER_MINUTE", 24, least=1),
        segments_per_hour=_limit(env, "SEGMENTS_PER_HOUR"),
        segments_per_day=_limit(env, "SEGMENTS_PER_DAY"),
        recipients_per_month=_limit(env, "RECIPIENTS_PER_MONTH"),
        in_flight_per_device=env.whole("IN_FLIGHT_PER_DEVICE", 10, least=1),
        default_ttl_seconds=env.whole("DEFAULT_TTL_SECONDS", 172800, least=1),
        device_offline_seconds=env.whole("DEVICE_OFFLINE_SECONDS", 300, least=1),
        silent_receiving_days=env.whole("SILENT_RECEIVING_DAYS", 7, least=0, most=3650),
        default_region=_region(_text(env, "DEFAULT_REGION")),
        webhook_timeout_seconds=env.number("WEBHOOK_TIMEOUT_SECONDS", 15.0, least=0.1, most=60),
        webhook_retry_schedule=_retry_schedule(env),
        webhook_allowed_networks=_networks(env.texts("WEBHOOK_ALLOWED_NETWORKS")),
        retention_days=env.whole("RETENTION_DAYS", 0, least=0),
        queue_limit=_limit(env, "QUEUE_LIMIT"),
        device_queue_limit=_limit(env, "DEVICE_QUEUE_LIMIT"),
        requests_per_minute=_limit(env, "REQUESTS_PER_MINUTE"),
        webhooks_per_crm=env.whole("WEBHOOKS_PER_CRM", 50, least=1),
        open_registration=env.flag("OPEN_REGISTRATION", False),
        open_crm_registration=env.flag("OPEN_CRM_REGISTRATION", False),
        devices_per_crm=env.whole("DEVICES_PER_CRM", 100, least=0),
        metrics_public=env.flag("METRICS_PUBLIC", False),
        log_format=env.text("LOG_FORMAT", "text", one_of=("text", "json")),
        log_level=_log_level(env.text("LOG_LEVEL", "INFO")),
        trusted_proxies=env.whole("TRUSTED_PROXIES", 0, least=0),
    )


def _limit(env: Env, name: str) -> int | None:
    if _text(env, name) is None:
        return None
    return env.whole(name, 1, least=1, most=HIGHEST_LIMIT)


def _text(env: Env, name: str) -> str | None:
    return env.text(name, "").strip() or None


def _public_url(url: str | None) -> str | None:
    try:
        return None if url is None else public_urls.checked(url)
    except BadPublicUrl as error:
        raise SettingsError(f"SMSGW_PUBLIC_URL {error}") from None


def _operator_key(key: str | None) -> str | None:
    if key is not None and len(key) < 20:
        raise SettingsError("SMSGW_OPERATOR_KEY is too short: use 20 random characters or more")
    return key


def _region(region: str | None) -> str | None:
    if region is None:
        return None
    if len(region) != 2 or not region.isalpha():
        raise SettingsError(
            "SMSGW_DEFAULT_REGION must be a country code of two letters, such as DE"
        )
    return region.upper()


def _retry_schedule(env: Env) -> tuple[float, ...]:
    if "SMSGW_WEBHOOK_RETRY_SCHEDULE" not in os.environ:
        return RETRY_SCHEDULE
    try:
        schedule = tuple(map(float, env.texts("WEBHOOK_RETRY_SCHEDULE")))
    except ValueError:
        schedule = ()
    if not schedule or any(not 0 <= seconds < 10**7 for seconds in schedule):
        raise SettingsError(
            "SMSGW_WEBHOOK_RETRY_SCHEDULE must be seconds with commas, such as 0,5,30"
        )
    return schedule


def _networks(texts: list[str]) -> tuple[Network | AllowedHost, ...]:
    try:
        return tuple(parse_allowed(text.strip()) for text in texts if text.strip())
    except ValueError as error:
        raise SettingsError(f"SMSGW_WEBHOOK_ALLOWED_NETWORKS: {error}") from None


def _log_level(level: str) -> str:
    level = level.upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise SettingsError("SMSGW_LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return level


def _make_secret_key(path: Path) -> None:
    """Put the whole file there, or leave the one that another process put there first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, made = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))
    with suppress(FileExistsError):
        os.link(made, path)
    os.unlink(made)
