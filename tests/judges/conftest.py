"""Fixtures of the judges' tests: judges made from a few words, a network that is off."""

from __future__ import annotations

import socket

import pytest

from medical_rl.judges.desk.rules import Budget, Limits
from medical_rl.judges.desk.sqlite_desk import SqliteDesk
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.judge import Judge


@pytest.fixture
def endpoint(fake_endpoint):
    """The fake endpoint as told by keywords (see PROGRAM in fake_endpoint.py), its log emptied."""

    def programmed(**program):
        fake_endpoint.program(**program)
        return fake_endpoint

    programmed()
    return programmed


@pytest.fixture
def judge(fake_endpoint, tmp_path):
    """Makes a Judge of the fake endpoint; all of one test share the ledger and the cache."""

    def make(limits=None, budget=None, settings=None, **chosen) -> Judge:
        desk = SqliteDesk(
            tmp_path / "ledger.sqlite", tmp_path / "cache.sqlite", limits or Limits(), budget or Budget()
        )
        at = Endpoint(fake_endpoint.url, "fake", **{"timeout_s": 5.0, **(settings or {})})
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
