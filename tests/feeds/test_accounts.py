"""No reader loses a message without being told: delivered and missed are what was sent."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.contract.stream_policy import SlowConsumer, stream_policy
from gateway.feeds.event_log import EVENT_BYTES, EventLog
from gateway.feeds.feed import Feed
from gateway.feeds.source import Gap, Item
from gateway.feeds.subscription import Subscription
from gateway.transcoding.status import RESOURCE_EXHAUSTED, StatusError
from gateway.upstream.port import Call
from tests.feeds.stage import METHODS


def _no_call() -> AbstractAsyncContextManager[Call]:
    raise AssertionError("nothing is opened: the test writes the log")


def _most_bytes(message: bytes) -> int:
    return EVENT_BYTES + len(b"s-1000") + len(message)


@dataclass(eq=False)
class Account:
    """What one reader was told."""

    reader: Subscription
    joined: int
    """How many messages had been sent then."""
    offset: int
    """How many messages it knows of, delivered or missed, with those before it joined."""
    call_start: int
    """Where the newest call began of which it knows."""
    delivered: list[int] = field(default_factory=list)
    told: bool = False
    """Whether it has been told of a restart since its last message."""
    sent_away: bool = False

    def take(self, item: Item, sent: list[bytes], restarts: list[int]) -> None:
        """Books an item; messages come in order, once, and under their own ids."""
        if isinstance(item, Gap):
            assert item.missed or item.restarted
            self.offset += item.missed
            self.told |= item.restarted
            return
        number = int(item.id.partition(b"-")[2])
        assert item.message == sent[number - 1]
        assert number > (self.delivered[-1] if self.delivered else self.joined)
        began = max(each for each in restarts if each < number)
        assert self.told is (began > self.call_start)
        self.told, self.call_start = False, began
        self.delivered.append(number)
        self.offset += 1


class Accounts(RuleBasedStateMachine):
    """Sends, restarts, joins, reads and comes back in any order."""

    policy: SlowConsumer

    @initialize(keep=st.integers(1, 6), max_bytes=st.integers(1, 4 * EVENT_BYTES))
    def begin(self, keep: int, max_bytes: int) -> None:
        """Begins with an empty log of some bounds."""
        policy = stream_policy(METHODS["Conflated"])
        assert policy is not None
        self.bounds = keep, max_bytes
        self.log = EventLog(b"s", keep=keep, max_bytes=max_bytes, read_key=lambda m: m[:1])
        policy = replace(policy, slow_consumer=self.policy)
        self.feed = Feed(lambda _after: _no_call(), policy, self.log, fair_share=lambda: max_bytes)
        self.sent: list[bytes] = []
        self.restarts = [-1]
        self.accounts: list[Account] = []
        self.join()

    @rule()
    def join(self) -> None:
        """Lets one more reader in."""
        offset = len(self.sent)
        self.accounts.append(Account(Subscription(self.feed), offset, offset, self.restarts[-1]))

    @rule(key=st.sampled_from("abc"), size=st.integers(1, 30), times=st.integers(1, 4))
    def send(self, key: str, size: int, times: int) -> None:
        """Sends some messages of one key."""
        for _ in range(times):
            self.sent.append(key.encode() * size)
            self.log.append(self.sent[-1])

    @precondition(lambda self: self.sent)
    @rule()
    def restart(self) -> None:
        """Lets another call go on with the log; it has begun behind all that was sent."""
        self.restarts.append(len(self.sent))
        self.log.mark_restart()

    @rule(which=st.integers(0, 9))
    def read(self, which: int) -> None:
        """Lets one reader read a few items."""
        self._read(self.accounts[which % len(self.accounts)])

    def _read(self, account: Account) -> bool:
        """Reads as much as is given at once; returns whether it was anything."""
        keep, max_bytes = self.bounds
        unread = self.sent[account.offset :]
        if account.sent_away:
            return False
        if self.policy is SlowConsumer.DISCONNECT and account.reader.offset < self.log.start:
            assert len(unread) > keep or sum(map(_most_bytes, unread)) > max_bytes
            with pytest.raises(StatusError, match="read too slowly") as failure:
                account.reader._read()
            assert failure.value.code == RESOURCE_EXHAUSTED
            account.sent_away = True
            return False
        items = account.reader._read()
        for item in items:
            account.take(item, self.sent, self.restarts)
        return bool(items)

    @rule(which=st.integers(0, 9))
    def come_back(self, which: int) -> None:
        """Cuts one reader off, and lets it come back with the id it has seen last."""
        account = self.accounts[which % len(self.accounts)]
        if account.delivered:
            account.offset = account.delivered[-1]
            account.sent_away = False
            account.reader = Subscription(self.feed)
            account.reader.resume_at(account.offset)
            account.call_start, account.told = account.offset - 1, False

    @rule(which=st.integers(0, 9))
    def catch_up(self, which: int) -> None:
        """Lets one reader read all: then it knows of all that was sent."""
        account = self.accounts[which % len(self.accounts)]
        while self._read(account):
            pass
        if account.sent_away:
            return
        assert account.offset == len(self.sent)
        if self.policy is SlowConsumer.CONFLATE:
            newest = self.log.newest_of_each_key(account.joined)
            assert set(account.delivered).issuperset(entry.offset + 1 for entry in newest)

    def teardown(self) -> None:
        """Lets all catch up."""
        for which in range(len(getattr(self, "accounts", ()))):
            self.catch_up(which)


@pytest.mark.parametrize(
    "policy", [SlowConsumer.DROP_OLDEST, SlowConsumer.CONFLATE, SlowConsumer.DISCONNECT]
)
def test_delivered_and_missed_are_what_was_sent(
    policy: SlowConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every order of sending, restarting, joining, reading and coming back.

    Messages come in order and once; a conflated reader that has caught up has the newest message of each
    key; only one that is behind what may be kept is sent away; a restart is told once, before the first
    message from behind it.
    """
    monkeypatch.setattr("gateway.feeds.subscription._BATCH_ITEMS", 3)
    run_state_machine_as_test(
        type("Machine", (Accounts,), {"policy": policy}),
        settings=settings(max_examples=40, stateful_step_count=40),
    )
