"""The two servers that speak the OpenAI protocol: the small one, and vLLM's own with a tiny Qwen2.5-VL of random weights."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from medical_rl.engine.host.environment import stage_environment
from medical_rl.pseudo_label.labellers import instructions
from medical_rl.tiny.model import build_tiny_model

HERE = Path(__file__).parent


class Small:
    """The answering server on a port of its own; its log outlives it."""

    # of a request, besides where it goes
    extra = ()

    def __init__(self, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log_file, self.printed = folder / "answered.txt", folder / "server.out"
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def command(self):
        return [sys.executable, str(HERE / "answering_server.py"), str(self.port), str(self.log_file)]

    def environment(self):
        return os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        with self.printed.open("ab") as out:
            self.process = subprocess.Popen(
                self.command(), env=self.environment(), stdout=out, stderr=out, start_new_session=True
            )
        deadline = time.monotonic() + 300
        while not self._lives():
            assert self.process.poll() is None and time.monotonic() < deadline, self.printed.read_text()[
                -3000:
            ]
            time.sleep(0.2)

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # vLLM's engine with it
        self.process.wait()

    def answered(self, role):
        lines = self.log_file.read_text().split("\n") if self.log_file.exists() else []
        return [line.split()[1] for line in lines if line.startswith(f"{role} ")]

    def _lives(self):
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


class Vllm(Small):
    """vLLM's server. Its model knows nothing: the schema makes its replies replies, and a bias to closing signs ends them."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        texts = [(instructions.FOLDER / f"{name}.txt").read_text() for name in ("rules", "reports", "reply")]
        self.model = build_tiny_model(texts, vocab_size=900, cache=folder)
        vocabulary = json.loads((self.model / "tokenizer.json").read_text())["model"]["vocab"]
        bias = ",".join(f"{vocabulary[sign]}:7" for sign in ('"', ",", "]", "}"))
        self.extra = (f"endpoint.extra_body.logit_bias={{{bias}}}", "endpoint.temperature=1.0")

    def command(self):
        return [
            sys.executable, "-m", "medical_rl.engine.vllm.reward_server", "--model", str(self.model), "--served-model-name", "tiny",
            "--host", "127.0.0.1", "--port", str(self.port), "--dtype", "float32", "--enforce-eager", "--max-model-len", "4096",
            "--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}', "--middleware", "asked.watch", "--disable-log-stats",
            "--uvicorn-log-level", "warning",
        ]  # fmt: skip

    def environment(self):
        return stage_environment({"device": "cpu"}, "server", "server", "", super().environment()) | {
            "ASKED_LOG": str(self.log_file)
        }
