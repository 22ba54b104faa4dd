"""URLs of stores: what each says, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.store.address import StoreAddress, read_address
from gateway.store.settings import StoreSettings


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", StoreAddress("single", False, (("cache", 6379),))),
        ("redis://cache:7000/3", StoreAddress("single", False, (("cache", 7000),), db=3)),
        ("rediss://edge@cache/", StoreAddress("single", True, (("cache", 6379),), user="edge")),
        ("redis://[::1]:7000", StoreAddress("single", False, (("::1", 7000),))),
        ("redis://[::1]", StoreAddress("single", False, (("::1", 6379),))),
        ("unix:///run/redis.sock", StoreAddress("unix", False, (), path="/run/redis.sock")),
        (
            "unix://a%40b@/run/redis.sock?db=2",
            StoreAddress("unix", False, (), path="/run/redis.sock", db=2, user="a@b"),
        ),
        (
            "redis+cluster://a,b:7001",
            StoreAddress("cluster", False, (("a", 6379), ("b", 7001))),
        ),
        (
            "rediss+sentinel://u@a,b:7001/main/4?sentinel_user=s",
            StoreAddress(
                "sentinel",
                True,
                (("a", 26379), ("b", 7001)),
                name="main",
                db=4,
                user="u",
                sentinel_user="s",
            ),
        ),
    ],
)
def test_a_url_says_where_the_store_is(url: str, address: StoreAddress) -> None:
    """By the schemes that the users of Redis write."""
    assert read_address(url) == address


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://edge:hunter2@cache", "write no password"),
        ("redis://:hunter2@cache", "write no password"),
        ("memcached://cache", "is the URL of a store"),
        ("redis+ring://cache", "is the URL of a store"),
        ("cache:6379", "is the URL of a store"),
        ("redis://", "names no host"),
        ("redis://a,b", "names several servers"),
        ("redis://a:0", "a port that is none"),
        ("redis://a:x", "a port that is none"),
        ("redis://a/main", "no number of a database"),
        ("redis://a/1/2", "no number of a database"),
        ("redis+cluster://a/1", "database 0 alone"),
        ("redis+sentinel://a", "names no primary"),
        ("redis://a?decode_responses=1", "no parameter decode_responses"),
        ("unix://run/redis.sock", "unix:///PATH"),
        ("redis://a#b", "no fragment"),
    ],
)
def test_a_wrong_url_is_refused_with_words(url: str, words: str) -> None:
    """A password is neither taken nor shown."""
    with pytest.raises(ValidationError, match=words) as raised:
        StoreSettings(url=url)

    assert "hunter2" not in str(raised.value)
