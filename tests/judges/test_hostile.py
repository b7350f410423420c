"""Endpoints that answer nonsense: one question fails or is answered, nobody else is held up, no lease is left."""

import asyncio
import json
import sqlite3

import pytest

from medical_rl.errors import JudgeFailed
from medical_rl.judges.desk.rules import Limits
from medical_rl.judges.desk.sqlite_desk import SqliteDesk
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.judge import Judge

GOOD = json.dumps({"verdict": "sound", "reason": "Fits."})
KEY = "sk-CANARY-0123456789abcdef"


def chat(text=GOOD, usage=None) -> bytes:
    usage = {"prompt_tokens": 10, "completion_tokens": 5} if usage is None else usage
    body = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}
    return http(json.dumps(body).encode())


def http(body: bytes, status="200 OK", header="") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{header}\r\n"
    )
    return head.encode() + body


# {what the endpoint does with the question: (its reply, the verdict or the reason of the failure)}
REPLIES = {
    "date beyond the calendar": (
        http(b"{}", "429 Too Many Requests", "Retry-After: Fri, 31 Dec 99999 23:59:59 GMT\r\n"), "429",
    ),
    "pause of 1e308 s": (http(b"{}", "429 Too Many Requests", "Retry-After: 1e308\r\n"), "429"),
    "nested 200,000 deep": (http(b'{"choices":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "garbage"),
    "infinitely many tokens": (chat(usage={"prompt_tokens": float("inf"), "completion_tokens": 5}), "sound"),
    "10**30 tokens": (chat(usage={"prompt_tokens": 10**30, "completion_tokens": 5}), "sound"),
    "fewer than no tokens": (chat(usage={"prompt_tokens": -(10**6), "completion_tokens": -1}), "sound"),
    "tokens in words": (chat(usage={"prompt_tokens": "many", "completion_tokens": None}), "sound"),
    "usage that is a list": (chat(usage=[1, 2]), "sound"),
    "half a character": (chat('{"verdict": "sound", "reason": "bad \ud83d end"}'), "sound"),
    "half a character escaped": (chat('{"verdict": "sound", "reason": "bad \\ud83d end"}'), "sound"),
    "a header of a megabyte": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n", "connection"),
    "the key": (chat(json.dumps({"verdict": "sound", "reason": f"your key is {KEY}"})), "sound"),
}  # fmt: skip


async def served(replies, tmp_path):
    """The verdict or the failure's reason of a question for each reply, asked at once, then the judge's totals."""

    async def handle(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                which = int(body.partition(b"question number ")[2].split(b" ")[0])
                writer.write(replies[which])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=1 << 24)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    desk = SqliteDesk(tmp_path / "ledger.sqlite", tmp_path / "cache.sqlite", Limits(concurrency=4))
    endpoint = Endpoint(address, "m", api_key_env="JUDGE_KEY", timeout_s=20.0)
    judge = Judge(endpoint, desk, max_attempts=2, backoff_s=0.01)

    async def ask(number):
        try:
            return (await judge.consistency(f"question number {number} ", "thought", "answer")).verdict
        except JudgeFailed as error:
            return error.reason

    outcomes = await asyncio.gather(*[ask(number) for number in range(len(replies))])
    server.close()
    return outcomes, judge.totals()


@pytest.mark.parametrize("name", REPLIES)
def test_one_bad_reply_holds_nobody_up(name, tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    reply, expected = REPLIES[name]
    outcomes, totals = asyncio.run(served([chat(), reply, chat(), chat(), chat()], tmp_path))
    assert outcomes == ["sound", expected, "sound", "sound", "sound"]
    leases = sqlite3.connect(tmp_path / "ledger.sqlite").execute("SELECT COUNT(*) FROM leases").fetchone()
    assert leases == (0,)
    assert totals["prompt_tokens"] >= 40 and totals["completion_tokens"] >= 20, "no reply takes tokens back"
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert KEY.encode() not in written
