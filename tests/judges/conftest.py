"""Fixtures of the judges' tests: one fake endpoint for all, judges made from a few words, a network that is off."""

from __future__ import annotations

import socket

import pytest

from medical_rl.judges.client import Judge
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.limits import Budget, Limits
from medical_rl.judges.sqlite_desk import SqliteDesk
from tests.judges.fake_endpoint import FakeEndpoint


@pytest.fixture(scope="session")
def server():
    """The fake endpoint's process."""
    with FakeEndpoint() as running:
        yield running


@pytest.fixture
def endpoint(server):
    """The fake endpoint as told by keywords (see fake_endpoint.PROGRAM), its log emptied."""

    def programmed(**program) -> FakeEndpoint:
        server.program(**program)
        return server

    programmed()
    return programmed


@pytest.fixture
def judge(server, tmp_path):
    """Makes a Judge of the fake endpoint; all of one test share the ledger and the cache."""

    def make(limits=None, budget=None, settings=None, **chosen) -> Judge:
        desk = SqliteDesk(tmp_path / "ledger.sqlite", tmp_path / "cache.sqlite", limits or Limits(), budget or Budget())
        at = Endpoint(server.url, "fake", **{"timeout_s": 5.0, **(settings or {})})
        return Judge(at, desk, **{"backoff_s": 0.01, **chosen})

    return make


@pytest.fixture
def no_network(monkeypatch):
    """Every attempt to connect raises."""

    def refuse(*_, **__):
        raise AssertionError("the network was used")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
