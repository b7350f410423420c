"""vLLM's own server for an exported R_phi, started beside a stage and ended with it.

As a process, `python -m medical_rl.engine.vllm.reward_server [vLLM's serve options]`, it is vLLM's
OpenAI-compatible server with our plugin loaded first: on a host without an accelerator vLLM needs it.
"""

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

POLL_S = 0.5
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

    model          exported folder
    gpus           what CUDA_VISIBLE_DEVICES is set to; None leaves it
    max_model_len  at most so many tokens; None: as many as R_phi was trained on
    Raises UserError if `model` is no exported folder.
    Raises StageFailed, with the last error of its log, if it ends or is not ready within `start_timeout_s`.
    """
    facts = read_facts(model)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "medical_rl.engine.vllm.reward_server"]
    command += serve_options(
        model, port, device, dtype, gpu_memory_utilization, max_model_len or facts.get("max_length")
    )
    # as a stage's own, also where no stage calls
    run, stage, metrics = (os.environ.get(name, "") for name in (RUN, STAGE, METRICS))
    environment = stage_environment({"device": device}, run, stage, metrics)
    if gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = str(gpus)
    begins = log.stat().st_size if log.exists() else 0
    server = processes.start(command, log, environment)
    base_url = f"http://127.0.0.1:{port}"
    try:
        _wait(server, base_url, log, begins, start_timeout_s)
        yield base_url
    finally:
        _end(server)


def serve_options(model, port: int, device: str, dtype: str, memory: float, length: int | None) -> list[str]:
    """vLLM's serve options: one pooling model, no graphs on CPU, rows of at most `length` tokens."""
    options = ["--model", str(model), "--runner", "pooling", "--host", "127.0.0.1", "--port", str(port)]
    options += ["--dtype", dtype, "--disable-log-stats", "--uvicorn-log-level", "warning"]
    if length:
        options += ["--max-model-len", str(length)]
    if device == "cpu":
        options.append("--enforce-eager")
    else:
        options += ["--gpu-memory-utilization", str(memory)]
    return options


def _wait(server: subprocess.Popen, base_url: str, log: Path, begins: int, timeout_s: float) -> None:
    """Wait until the server answers. Raises StageFailed if it ends first or takes too long."""
    deadline = time.monotonic() + timeout_s
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):  # not listening yet
            if httpx.get(f"{base_url}/health", timeout=5).status_code == 200:
                return
        time.sleep(POLL_S)
    why = f"was not ready within {timeout_s:.0f} s"
    if server.poll() is not None:
        why = f"ended with exit code {server.returncode}"
    raise StageFailed(f"The reward model's server {why}. {last_error(log, begins)}Its log: {log}.")


def _end(server: subprocess.Popen) -> None:
    """Ask the server's session to end, wait, and kill what is left: its engine may outlive it."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):  # nobody is left
            os.killpg(server.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=END_S)


def main(arguments: list[str]) -> None:
    """Run vLLM's server until it is ended."""
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
