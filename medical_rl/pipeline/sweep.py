"""A sweep is checked before it is submitted: each of its jobs composed and checked on this machine."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from medical_rl.config.compose import compose
from medical_rl.config.hydra_errors import explain
from medical_rl.config.settings import with_absolute_reward_paths, with_card_facts
from medical_rl.errors import UserError
from medical_rl.pipeline.engine_checks import verl_problems
from medical_rl.pipeline.named import named_problems
from medical_rl.pipeline.validate import check_config

WORKERS = 4  # child processes of verl's own check at once
SHOWN = 3


def jobs_of(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each job of a sweep, as Hydra's own sweeper makes them.

    >>> jobs_of(["conf=vrft_aug", "conf.seed=1,2"])
    [['conf=vrft_aug', 'conf.seed=1'], ['conf=vrft_aug', 'conf.seed=2']]
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    batches = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(list(overrides)), None)
    return [list(job) for batch in batches for job in batch]


def check_sweep(overrides: Sequence[str]) -> str:
    """Check every job of a sweep and return a line that says what was checked.

    Raises UserError with the first problems, each with the jobs that have it: then nothing is submitted.
    """
    if any(override.startswith("hydra/sweeper=") for override in overrides):
        return "# not checked: the jobs, which a sweeper of your own chooses"
    jobs = jobs_of(overrides)
    shared = set(jobs[0]).intersection(*jobs)
    names = [" ".join(override for override in job if override not in shared) or "the job" for job in jobs]
    problems: dict[str, list[str]] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        asked = []
        for name, job in zip(names, jobs, strict=True):
            try:
                config = with_absolute_reward_paths(with_card_facts(compose(job)))
                check_config(config)
                found = named_problems(config)
                asked.append((name, pool.submit(verl_problems, config)))
            except Exception as error:
                # Hydra's own errors are explained; one that is neither theirs nor the user's is ours.
                told = str(error) if isinstance(error, UserError) else explain(error, list(job))
                if told is None:
                    raise
                found = [told]
            for problem in found:
                problems.setdefault(problem, []).append(name)
        for name, answer in asked:
            for problem in answer.result():
                problems.setdefault(problem, []).append(name)
    if problems:
        told = []
        for problem, having in list(problems.items())[:SHOWN]:
            further = f" and {len(having) - 1} more" if len(having) > 1 else ""
            told.append(f"{having[0]}{further}: {problem}")
        more = f" And {len(problems) - SHOWN} more problems." if len(problems) > SHOWN else ""
        raise UserError(f"Nothing was submitted: of {len(jobs)} jobs, {' '.join(told)}{more}")
    return f"# {len(jobs)} jobs composed and checked here; their data are read where they run"
