"""A key never leaves the process but in the request's own header: no file, log, exception or printed object holds it."""

import asyncio
import logging
import pickle
import traceback

import pytest

from medical_rl.judges.requests.connection import Connection

CANARY = "sk-canary-3f9b2c71d0"


def exceptions_text(error: BaseException) -> str:
    """All that an exception and those behind it print, hold and pickle."""
    text = []
    while error is not None:
        text += [repr(error), str(error), repr(vars(error)), "".join(traceback.format_exception(error))]
        text.append(repr(pickle.dumps(error)))
        error = error.__cause__ or error.__context__
    return "\n".join(text)


@pytest.mark.parametrize("faults", [[], ["401"], ["400"], ["429", "500", "garbage", "drop", "hang"]])
def test_the_key_is_in_no_file_log_exception_or_repr(
    endpoint, judge, tmp_path, monkeypatch, caplog, capfd, faults
):
    monkeypatch.setenv("CANARY_KEY", CANARY)
    endpoint(script=faults, echo_key=True, garbage=f"your key is {CANARY}")
    one = judge(settings={"api_key_env": "CANARY_KEY", "timeout_s": 0.3}, max_attempts=5)

    async def main():
        return await asyncio.gather(one.consistency("q", "t", "a"), return_exceptions=True)

    with caplog.at_level(logging.DEBUG):
        (result,) = asyncio.run(main())
    assert result if not faults else isinstance(result, Exception)
    shown = [
        repr(one),
        repr(one.endpoint),
        repr(vars(one)),
        repr(Connection(one.endpoint)),
        caplog.text,
        *capfd.readouterr(),
    ]
    if isinstance(result, Exception):
        shown.append(exceptions_text(result))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    assert not [text for text in shown if CANARY in text]


def test_the_endpoint_does_get_the_key(endpoint, judge, monkeypatch):
    monkeypatch.setenv("CANARY_KEY", CANARY)
    endpoint(script=["429"], echo_key=True)
    seen = []
    monkeypatch.setattr(Connection, "_without_keys", lambda self, text: seen.append(text) or "")
    asyncio.run(judge(settings={"api_key_env": "CANARY_KEY"}).consistency("q", "t", "a"))
    assert f"Bearer {CANARY}" in seen[0], "or the test above would prove nothing"
