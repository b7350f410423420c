"""A fake OpenAI-compatible endpoint in a process of its own: latency, faults by program, and a log of what arrived.

Bare asyncio on sockets, so that on a shared machine the server takes little of the time that is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import subprocess
import sys
import time
import urllib.request

# What a test may program; `script` names the outcome of the first requests one by one, then the shares decide.
PROGRAM = {
    "latency_s": 0.0, "share_429": 0.0, "retry_after": None, "share_hang": 0.0, "share_500": 0.0, "share_garbage": 0.0,
    "garbage": "I think it is rather sound.", "text": None, "echo_key": False, "usage": [100, 10], "seed": 0, "script": [],
    "busy_above": None,
}  # fmt: skip
KEY = "0" * 16  # stands for a request's key in a reply that is made once
STATUS = {
    "ok": 200,
    "garbage": 200,
    "429": 429,
    "500": 500,
    "400": 400,
    "401": 401,
    "408": 408,
    "503": 503,
    "302": 302,
}


class State:
    """What the server was told to do and what it saw."""

    def __init__(self):
        self.reset({})

    def reset(self, program: dict) -> None:
        """Forget the log and take a new program."""
        self.program = PROGRAM | program
        self.random = random.Random(self.program["seed"])
        self.script = list(self.program["script"])
        self.log: list[list] = []
        self.ok: bytes | None = None
        self.busy = self.most_busy = 0

    def outcome(self) -> str:
        """What happens to the request that has just arrived."""
        if self.script:
            return self.script.pop(0)
        if self.program["busy_above"] is not None and self.busy > self.program["busy_above"]:
            return "429"
        draw = self.random.random()
        for name in ("429", "hang", "500", "garbage"):
            draw -= self.program[f"share_{name}"]
            if draw < 0:
                return name
        return "ok"


STATE = State()


def reply(outcome: str, key: str, authorization: str) -> bytes:
    """The HTTP response of an outcome; the most frequent one is made once, and the key put in."""
    if outcome != "ok":
        return _reply(outcome, key, authorization)
    if STATE.ok is None:
        STATE.ok = _reply("ok", KEY, "")
    return STATE.ok.replace(KEY.encode(), key.encode())


def _reply(outcome: str, key: str, authorization: str) -> bytes:
    program = STATE.program
    head = ""
    if outcome in ("ok", "garbage"):
        text = program["text"] or json.dumps({"verdict": "sound", "reason": key})
        prompt, completion = program["usage"]
        body = {
            "id": "fake", "object": "chat.completion", "created": 0, "model": "fake",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {
                "role": "assistant", "content": text if outcome == "ok" else program["garbage"]}}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
        }  # fmt: skip
    else:
        said = f"fault {outcome}" + (f"; your key {authorization} is wrong" if program["echo_key"] else "")
        body = {"error": {"message": said, "type": "fake", "code": outcome}}
        if outcome == "429" and program["retry_after"] is not None:
            head = f"retry-after: {program['retry_after']}\r\n"
        if outcome == "302":
            head = "location: /v1/elsewhere\r\n"
    return respond(STATUS[outcome], json.dumps(body).encode(), head)


def respond(status: int, body: bytes, head: str = "") -> bytes:
    """Bytes of an HTTP/1.1 response that keeps the connection."""
    start = (
        f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{head}\r\n"
    )
    return start.encode() + body


class Connection(asyncio.Protocol):
    """One client's connection; requests come one after the other."""

    def connection_made(self, transport):
        self.transport, self.buffer, self.pending = transport, b"", None

    def connection_lost(self, error):
        if self.pending:  # a client that gave up no longer counts as being served
            self.pending.cancel()
            STATE.busy -= 1
            self.pending = None

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            raw, body = self.buffer[:end], self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            self.request(raw, body)

    def request(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path == b"/log":
            seen = {"requests": STATE.log, "most_busy": STATE.most_busy, "busy": STATE.busy}
            self.transport.write(respond(200, json.dumps(seen).encode()))
        elif path == b"/program":
            STATE.reset(json.loads(body))
            self.transport.write(respond(200, b"{}"))
        else:
            self.judge(head, body)

    def judge(self, head: bytes, body: bytes) -> None:
        key = hashlib.sha256(body).hexdigest()[:16]
        STATE.busy += 1
        STATE.most_busy = max(STATE.most_busy, STATE.busy)
        outcome = STATE.outcome()
        STATE.log.append([time.time(), key, outcome, STATE.busy])
        at = head.lower().find(b"authorization:")
        given = head[at + 14 :].split(b"\r\n", 1)[0].strip().decode() if at >= 0 else "(none)"
        wait = 3600.0 if outcome == "hang" else STATE.program["latency_s"] if STATE_OF[outcome] else 0.0
        self.pending = asyncio.get_running_loop().call_later(wait, self.answer, outcome, key, given)

    def answer(self, outcome: str, key: str, authorization: str) -> None:
        self.pending = None
        STATE.busy -= 1
        if outcome == "drop":
            self.transport.close()
        else:
            self.transport.write(reply(outcome, key, authorization))


# whether an outcome takes the programmed latency; refusals come at once
STATE_OF = {"ok": True, "garbage": True, "hang": True, "drop": False} | {
    name: False for name, code in STATUS.items() if code != 200
}


async def serve() -> None:
    """Runs until killed; prints its port."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class FakeEndpoint:
    """The server's process, seen from a test: `url`, `program(...)`, `log()`; a context manager."""

    def __enter__(self) -> FakeEndpoint:
        self.process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
        self.origin = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.url = f"{self.origin}/v1"
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()

    def program(self, **program) -> None:
        """Forget what was seen and behave as told from now on (see PROGRAM)."""
        data = json.dumps(program).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.origin}/program", data=data), timeout=10).read()

    def log(self) -> dict:
        """{"requests": [[time, key of the body, outcome, busy then], ...], "most_busy", "busy"}."""
        return json.loads(urllib.request.urlopen(f"{self.origin}/log", timeout=10).read())


if __name__ == "__main__":
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(serve())
