"""vLLM's own server for an exported R_phi, started beside a stage and ended with it.

As a process, `python -m medical_rl.engine.vllm.reward_server [vLLM's serve options]`, it is vLLM's OpenAI-compatible server with our
plugin loaded first: on a host without an accelerator vLLM and torchvision need it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from medical_rl.engine.host.environment import stage_environment
from medical_rl.errors import StageFailed
from medical_rl.reward_model.model import read_facts
from medical_rl.run import processes
from medical_rl.run.processes import METRICS, RUN, STAGE, last_error

LOOK_S = 0.5
END_S = 15.0


@contextlib.contextmanager
def reward_server(
    model: Path | str,
    *,
    log: Path,
    device: str,
    dtype: str = "float32",
    gpus: str | int | None = None,
    gpu_memory_utilization: float = 0.15,
    max_model_len: int | None = None,
    start_timeout_s: float = 600.0,
) -> Iterator[str]:
    """The address of a server of `model`, which answers `/classify` while the block lasts.

    model  exported folder; UserError if it is none
    gpus   what CUDA_VISIBLE_DEVICES is set to; None leaves it
    Raises StageFailed, with the last error of its log, if it ends or is not ready within `start_timeout_s`.
    """
    facts = read_facts(model)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "medical_rl.engine.vllm.reward_server",
        *options(model, port, facts, device, dtype, gpu_memory_utilization, max_model_len),
    ]
    names = (os.environ.get(name, "") for name in (RUN, STAGE, METRICS))
    environment = stage_environment({"device": device}, *names)  # as a stage's own, also where no stage calls
    environment |= {} if gpus is None else {"CUDA_VISIBLE_DEVICES": str(gpus)}
    begins = log.stat().st_size if log.exists() else 0
    child = processes.start(command, log, environment)
    base_url = f"http://127.0.0.1:{port}"
    try:
        _wait(child, base_url, log, begins, start_timeout_s)
        yield base_url
    finally:
        _end(child)


def options(
    model, port: int, facts: dict, device: str, dtype: str, memory: float, max_model_len: int | None
) -> list[str]:
    """vLLM's serve options: one pooling model, float32 and no graphs on CPU, at most as many tokens as R_phi was trained on."""
    length = max_model_len or facts.get("max_length")
    chosen = [
        "--model",
        str(model),
        "--runner",
        "pooling",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--dtype",
        dtype,
    ]
    chosen += ["--max-model-len", str(length)] if length else []
    chosen += ["--gpu-memory-utilization", str(memory)] if device != "cpu" else ["--enforce-eager"]
    return [*chosen, "--disable-log-stats", "--uvicorn-log-level", "warning"]


def _wait(child: subprocess.Popen, base_url: str, log: Path, begins: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while child.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):  # not listening yet
            if httpx.get(f"{base_url}/health", timeout=5).status_code == 200:
                return
        time.sleep(LOOK_S)
    why = (
        f"ended with exit code {child.returncode}"
        if child.poll() is not None
        else f"was not ready within {timeout_s:.0f} s"
    )
    raise StageFailed(f"The reward model's server {why}. {last_error(log, begins)}Its log: {log}.")


def _end(child: subprocess.Popen) -> None:
    """None; asks the server's session to end, waits for the server, and kills what is left: its engine may outlive it."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):  # nobody is left
            os.killpg(child.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=END_S)


def main(arguments: list[str]) -> None:
    """None; vLLM's server until it is ended."""
    import medical_rl.engine.verl.plugin  # noqa: F401, I001  before vLLM
    import uvloop
    from vllm.entrypoints.openai.api_server import run_server
    from vllm.entrypoints.openai.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(arguments)
    validate_parsed_serve_args(parsed)
    uvloop.run(run_server(parsed))


if __name__ == "__main__":
    main(sys.argv[1:])
