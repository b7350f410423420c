"""The command line.

    python -m medical_rl.main conf=<recipe> [conf/<group>=<choice>] [key=value] [-m]

Hydra composes the recipe over verl's own configuration; the stages then run in order. Exit codes: 0 done,
2 the user's configuration or data is wrong (one paragraph), 1 anything else, 130 Ctrl-C.
"""

import errno
import os
import signal
import sys

from medical_rl.errors import StageFailed, UserError

# Errors of a full, read-only or forbidden disk: said in one paragraph, not as a traceback.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


def main(argv: list[str] | None = None) -> int:
    """Run what `argv` (default: the process's own arguments) asks for and return the exit code."""
    from medical_rl.config.arguments import (
        help_text,
        split_options,
        version_text,
        with_default_scale_and_engine,
    )
    from medical_rl.config.slurm import STOPPED, submits

    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or {"-h", "--help"} & set(arguments):
        print(help_text())
        return 0
    # A scheduler's SIGTERM ends a run as Ctrl-C does: children ended, what was done kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Hydra prints its own traceback and exits with 1 unless asked to raise.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        overrides, options = split_options(arguments)
        if "--version" in options:
            print(version_text())
            return 0
        if {"-sc", "--shell-completion", "--hydra-help"} & set(options):  # nothing is composed
            return _hydra(overrides + options)
        arguments, choices = with_default_scale_and_engine(arguments)
        print(choices, flush=True)
        if submits(arguments) and not {"--cfg", "-c", "--info", "-i"} & set(options):
            from medical_rl.pipeline.sweep import check_sweep

            print(check_sweep(split_options(arguments)[0]), flush=True)
        return _hydra(arguments)
    except KeyboardInterrupt:
        kept = "Stopped. What was done is kept; the same command goes on from there."
        print(f"\n{STOPPED if submits(arguments) else kept}", file=sys.stderr)
        return 130
    except (UserError, StageFailed) as error:
        print(f"\n{error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        # One class may be two things (Hydra's MissingConfigException is an OSError):
        # what explains itself comes first.
        paragraph, code = _explain(error, arguments)
        if paragraph is None:
            raise
        print(f"\n{paragraph}", file=sys.stderr)
        return code


def _explain(error: Exception, arguments: list[str]) -> tuple[str | None, int]:
    """The (one paragraph for a person, exit code); (None, 1) for an error that is ours to mend."""
    from medical_rl.config.hydra_errors import explain
    from medical_rl.config.slurm import explain_failure

    if failure := explain_failure(error):
        return str(failure), failure.exit_code
    if paragraph := explain(error, arguments):
        return paragraph, UserError.exit_code
    if isinstance(error, OSError) and error.errno in DISK:
        where = error.filename or "no file named"
        return (
            f"The run folder or disk failed: {error.strerror} ({where}). What was done is kept; the same "
            "command goes on from there."
        ), StageFailed.exit_code
    return None, 1


def _hydra(arguments: list[str]) -> int:
    """Run the jobs and return 0, or the exit code of the first that failed; the others still run."""
    import hydra

    from medical_rl.config.compose import NAME, root, store_primary
    from medical_rl.config.slurm import ending_in_order

    store_primary()
    # Hydra names a job after the script and reads sys.argv itself.
    sys.argv = ["medical_rl", *arguments]
    driver, codes = os.getpid(), []

    def guarded(config) -> None:
        try:
            with ending_in_order():
                job(config)
        except (UserError, StageFailed) as error:
            if os.getpid() != driver:  # a job on another node: its launcher must see the failure
                raise
            print(f"\n{error}", file=sys.stderr)
            codes.append(error.exit_code)

    hydra.main(config_path=str(root()), config_name=NAME, version_base="1.3")(guarded)()
    return codes[0] if codes else 0


def job(config) -> None:
    """Check the configuration, make a dry run or run the stages, and print the table of results."""
    from rich.console import Console

    from medical_rl.config.settings import with_absolute_reward_paths, with_card_facts, with_job_run_dir
    from medical_rl.evaluation.results import read_results
    from medical_rl.evaluation.tables.results_table import print_results
    from medical_rl.pipeline.dry_run import dry_run
    from medical_rl.pipeline.named import named_problems
    from medical_rl.pipeline.run import run
    from medical_rl.pipeline.validate import check_config, check_hardware
    from medical_rl.stages import planned

    console = Console(soft_wrap=True)
    config = with_absolute_reward_paths(with_card_facts(with_job_run_dir(config)))
    check_config(config)
    if config.conf.dry_run:
        dry_run(config, console)
        return
    check_hardware(config)
    missing = named_problems(config)
    if missing:
        raise UserError(" ".join(missing))
    folder = run(config, console)
    if "evaluate" in planned(config.conf):
        print_results(read_results(folder.path), console)
    console.print(f"\nEverything is in {folder.path}", highlight=False)


if __name__ == "__main__":
    raise SystemExit(main())
