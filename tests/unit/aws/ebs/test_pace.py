"""The pace of the calls, against a service whose limit is known: a simulation in virtual time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from vmie.aws.ebs.pace import MOST, CallPace


@dataclass
class Service:
    """A token bucket of `burst` seconds; what it takes is answered after `delay` seconds, a refusal after 10 ms.

    The clients' link carries `link` calls a second.
    """

    limit: float
    clients: int = 1
    burst: float = 1.0
    delay: float = 0.1
    link: float = 1e9
    now: float = 0.0
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)

    def run(self, blocks: int, *, until: float = 1e9) -> None:
        """Send `blocks` by each client."""
        self._order = itertools.count()
        self._tokens, self._since, self._free = self.burst * self.limit, 0.0, 0.0
        self.taken, self.refused = [0] * self.clients, [0] * self.clients
        self.paces = [CallPace(monotonic=lambda: self.now) for _ in range(self.clients)]
        self._left, self._under_way = [blocks] * self.clients, [0] * self.clients
        self._row: list[int] = [0] * self.clients
        self._asking = [False] * self.clients
        for client in range(self.clients):
            self._begin(client)
        while self.events and self.events[0][0] <= until:
            self.now, _, act = heapq.heappop(self.events)
            act()

    def _at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.events, (when, next(self._order), act))

    def _begin(self, client: int) -> None:
        while self._left[client] and self._under_way[client] < self.paces[client].limit:
            self._left[client] -= 1
            self._under_way[client] += 1
            self._wait(client)

    def _wait(self, client: int) -> None:
        self._row[client] += 1
        if not self._asking[client]:
            self._ask(client)

    def _ask(self, client: int) -> None:
        self._asking[client] = False
        while self._row[client]:
            turn = self.paces[client].turn()
            if isinstance(turn, float):
                self._asking[client] = True
                self._at(self.now + turn + 1e-6, lambda: self._ask(client))
                return
            self._row[client] -= 1
            self._free = max(self._free, self.now) + 1 / self.link
            self._at(self._free, lambda turn=turn: self._arrived(client, turn))  # type: ignore[misc]

    def _arrived(self, client: int, ticket: Any) -> None:
        self._tokens = min(self.burst * self.limit, self._tokens + (self.now - self._since) * self.limit)
        self._since = self.now
        if self._tokens < 1:
            self.refused[client] += 1
            self._at(self.now + 0.01, lambda: self._told(client, ticket))
            return
        self._tokens -= 1
        self.taken[client] += 1
        self._at(self.now + self.delay, lambda: self._done(client, ticket))

    def _told(self, client: int, ticket: Any) -> None:
        self.paces[client].refused(ticket, shared=self.clients > 1)
        self._at(self.now + 0.1, lambda: self._wait(client))

    def _done(self, client: int, ticket: Any) -> None:
        self.paces[client].taken(ticket)
        self._under_way[client] -= 1
        self._begin(client)

    @property
    def share(self) -> float:
        """What was taken, of what the limit gave while it was asked, its savings left out."""
        return (sum(self.taken) - self.burst * self.limit) / self.now / self.limit

    @property
    def refusals(self) -> float:
        return sum(self.refused) / (sum(self.taken) + sum(self.refused))


@pytest.mark.parametrize("limit", [50, 400, 1000])
@pytest.mark.parametrize("burst", [0.1, 1.0])
def test_a_limit_is_found_and_kept_to(limit: float, burst: float) -> None:
    service = Service(limit, burst=burst)
    service.run(round(20 * limit))
    assert service.taken == [20 * limit]
    assert service.share >= (0.97 if burst == 1.0 else 0.96)
    # the first refusals, while the limit is not known, weigh more where little is asked for
    assert service.refusals < (0.01 if limit >= 400 else 0.04)


def test_who_share_a_limit_come_to_like_rates_and_waste_nothing() -> None:
    service = Service(400, clients=3)
    service.run(100_000, until=40)
    assert sum(service.taken) >= 0.97 * 400 * 40
    assert min(service.taken) >= 0.6 * max(service.taken)
    assert service.refusals < 0.015


def test_a_limit_that_changes_is_followed() -> None:
    for before, after in ((200, 800), (800, 200)):
        service = Service(before)
        service.run(100_000, until=6)
        service.limit = after
        first = sum(service.taken)
        while service.events and service.events[0][0] <= 20:
            service.now, _, act = heapq.heappop(service.events)
            act()
        assert sum(service.taken) - first >= 0.75 * after * 14
        assert service.refusals < 0.03


@pytest.mark.parametrize(("link", "delay", "least", "most"), [(950, 0.1, 96, MOST), (20, 0.05, 1, 8)])
def test_as_many_are_under_way_as_the_link_carries(link: float, delay: float, least: int, most: int) -> None:
    service = Service(1e9, link=link, delay=delay)
    service.run(round(6 * link))
    assert least <= service.paces[0].limit <= most
    assert sum(service.taken) / service.now >= 0.93 * link
    assert not sum(service.refused)


def test_connections_that_break_together_are_one_sign_and_the_limit_comes_back() -> None:
    now = [0.0]
    pace = CallPace(monotonic=lambda: now[0])
    for _ in range(64):
        pace.broke()
    assert pace.limit == 32
    for _ in range(20):
        now[0] += 2
        pace.broke()
    assert pace.limit == 1
