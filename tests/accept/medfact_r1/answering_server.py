"""A small endpoint of the OpenAI protocol that answers as a labeller, a lister of concepts or a judge: python answering_server.py PORT LOG.

Which it is asked to be shows in the schema of the request. Every request that was answered is one line of LOG: its role, a hash of its body.
"""

import hashlib
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LATENCY_S = 0.05
# property of the schema -> (role, what is answered)
ROLES = {
    "answer": ("labeller", {"rationale": "It looks so.", "answer": "yes", "confidence": 0.8}),
    "concepts": ("concepts", {"concepts": ["bright disc"]}),
    "verdict": ("judge", {"verdict": "sound", "reason": "The thought supports the answer."}),
}


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        asked = json.loads(body)
        properties = asked["response_format"]["json_schema"]["schema"]["properties"]
        role, said = next(found for name, found in ROLES.items() if name in properties)
        if role == "labeller":
            said = said | {"answer": "yes" if hashlib.sha256(body).digest()[0] % 2 else "no"}
            said = said | ({"used": [1]} if "used" in properties else {})
        time.sleep(LATENCY_S)
        message = {"role": "assistant", "content": json.dumps(said)}
        reply = {"id": "1", "object": "chat.completion", "created": 0, "model": asked["model"], "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
                 "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}  # fmt: skip
        data = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        with open(sys.argv[2], "a") as log:
            log.write(f"{role} {hashlib.sha256(body).hexdigest()}\n")

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
