"""What a server was asked: as whom, and one line of a log for each request that it answered. `watch` is vLLM's --middleware."""

import hashlib
import json
import os

# property of the reply's schema -> as whom the server is asked
ROLES = {"answer": "labeller", "concepts": "concepts", "verdict": "judge"}


def role_of(body: bytes) -> tuple[str, dict]:
    """(role, the schema's properties) of a request."""
    properties = json.loads(body)["response_format"]["json_schema"]["schema"]["properties"]
    return next(role for name, role in ROLES.items() if name in properties), properties


def note(body: bytes, log: str) -> None:
    """Append the role and a hash of the body."""
    with open(log, "a") as file:
        file.write(f"{role_of(body)[0]} {hashlib.sha256(body).hexdigest()}\n")


async def watch(request, call_next):
    """The reply, noted in the file named by ASKED_LOG where it is one to a chat."""
    body = await request.body()
    reply = await call_next(request)
    if request.url.path.endswith("/chat/completions") and reply.status_code == 200:
        note(body, os.environ["ASKED_LOG"])
    return reply
