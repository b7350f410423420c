"""A small endpoint of the OpenAI protocol that answers as a labeller, a lister of concepts or a judge: python answering_server.py PORT LOG."""

import hashlib
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from asked import note, role_of  # noqa: E402

LATENCY_S = 0.05
SAID = {
    "labeller": {"rationale": "It looks so.", "answer": "yes", "confidence": 0.8},
    "concepts": {"concepts": ["bright disc"]},
    "judge": {"verdict": "sound", "reason": "The thought supports the answer."},
}


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        role, properties = role_of(body)
        said = SAID[role]
        if role == "labeller":
            said = said | {"answer": "yes" if hashlib.sha256(body).digest()[0] % 2 else "no"}
            said = said | ({"used": [1]} if "used" in properties else {})
        time.sleep(LATENCY_S)
        message = {"role": "assistant", "content": json.dumps(said)}
        reply = {"id": "1", "object": "chat.completion", "created": 0, "model": json.loads(body)["model"],
                 "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
                 "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}  # fmt: skip
        data = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        note(body, sys.argv[2])

    def do_GET(self):  # whether it lives
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
