"""Requests to vLLM answered in turn, each by a fork of this process, which has imported vLLM once for all of them.

On two cores the import takes half a minute, longer than a small model takes to answer; and a model's memory goes with its process.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path


def answer_each(answer: Callable[[Path], None], request_files: Sequence[Path | str]) -> int:
    """0 after `answer` ended well for every file; else the exit code of the first that did not, and the rest is not tried."""
    import torch
    import vllm  # noqa: F401  what takes long

    # CUDA does not survive a fork. Importing vLLM does not start it; where something else has, every process imports anew.
    processes = multiprocessing.get_context("spawn" if torch.cuda.is_initialized() else "fork")
    for file in request_files:
        process = processes.Process(target=answer, args=(Path(file),))
        process.start()
        process.join()
        if process.exitcode:
            return abs(process.exitcode)
    return 0
