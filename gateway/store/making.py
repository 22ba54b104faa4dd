"""Makes the store of settings."""

from __future__ import annotations

import logging

from gateway.setting_files import read_file
from gateway.setting_secrets import secret_of
from gateway.store.address import read_address
from gateway.store.error import StoreSettingError
from gateway.store.settings import StoreSettings
from gateway.store.store import Store

log = logging.getLogger(__name__)


def make_store(settings: StoreSettings) -> Store | None:
    """Returns the store that replicas share; None: the settings name none.

    Raises:
        StoreSettingError: settings do not fit each other, or the extra is not installed.
        SecretError: the file of a secret has none.
        FileReadError: a file cannot be read; it is an OSError.
    """
    if settings.url is None:
        return None
    try:
        from gateway.store.client import RedisDriver  # noqa: PLC0415 - it needs an extra
    except ModuleNotFoundError as error:
        raise StoreSettingError(
            f"feed_store needs the package {error.name}; pip install 'protoway[redis]'"
        ) from error
    address = read_address(settings.url)
    files = {
        name: str(path)
        for name in ("ca", "certificate", "key")
        if (path := getattr(settings, name)) is not None
    }
    if files and not address.tls:
        raise StoreSettingError(f"store_{next(iter(files))}: the store's URL is without TLS")
    if ("certificate" in files) is not ("key" in files):
        raise StoreSettingError("store_certificate and store_key: give both or none")
    for name in files:
        read_file(getattr(settings, name))
    secret = secret_of(settings, "secret")
    if secret is None:
        log.warning(
            "store_secret_file is not set: who reads the store can find out addresses and names by guessing"
        )
    driver = RedisDriver(address, secret_of(settings, "password"), settings.timeout_seconds, files)
    return Store(
        driver,
        prefix=settings.prefix,
        secret=None if secret is None else secret.encode(),
        timeout=settings.timeout_seconds,
        max_connections=settings.max_connections,
        is_cluster=address.kind == "cluster",
    )
