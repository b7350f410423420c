"""Run one stage in this process, which the pipeline starts.

    python -m medical_rl.pipeline.stage_main STAGE RUN_FOLDER

The result goes to logs/<stage>.result.json; a user's error to the same file, with exit code 2, and so does a
failure that says all itself, with exit code 1.
"""

import sys
import traceback

from omegaconf import OmegaConf

from medical_rl.errors import StageFailed, UserError
from medical_rl.loop.plan import with_round_paths
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.stages import declared


def main(stage: str, folder: str) -> int:
    """Run the stage; return 0 when it ended well, 2 on a user's error, 1 on anything else (see its log)."""
    run = RunFolder(folder, stage)
    result = run.log(stage).with_suffix(".result.json")
    config = with_round_paths(OmegaConf.load(run.path / "config.yaml"), stage)
    try:
        outcome = declared(stage).run(config, run)
    except UserError as error:
        write_json(result, {"error": str(error)})
        return UserError.exit_code
    except StageFailed as failure:
        write_json(result, {"failed": str(failure)})
        return StageFailed.exit_code
    except Exception:
        # The parent shows the log's path; the traceback belongs into the log, whole.
        traceback.print_exc()
        return 1
    write_json(result, outcome)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
