"""Images that vLLM turns and the trainer does not, in rows of another's making, stop the run with a row's id."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from medical_rl.errors import StageFailed
from medical_rl.run.folder import RunFolder

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1500)]


def turned_jpeg() -> bytes:
    """A JPEG of 112 x 28 pixels that a viewer shows upright: EXIF orientation 6."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((112, 28)).convert("RGB").save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def plant(file: Path) -> None:
    """Put the turned JPEG into every row, as a parquet made without our preparation might have it."""
    rows = pq.read_table(file)
    images = [[{**image, "bytes": turned_jpeg()} for image in row] for row in rows["images"].to_pylist()]
    column = pa.array(images, rows.schema.field("images").type)
    pq.write_table(rows.set_column(rows.schema.get_field_index("images"), "images", column), file)


def test_turned_images_stop_the_run_with_the_rows_id(prepared_copy, start_run, tmp_path):
    folder = RunFolder(prepared_copy(tmp_path / "turned"))
    plant(folder.path / "data" / "train.parquet")
    outputs = folder.manifest()["stages"]["prepare"]["outputs"]
    described = {name: folder.describe(output["path"]) for name, output in outputs.items()}
    folder.update_stage("prepare", outputs=described)
    process = start_run(
        folder.path, "conf.stages=[prepare,warm_start,rl]", "trainer.val_before_train=false",
        "conf.engine.agreement_steps=0",
    )  # fmt: skip
    assert process.wait(timeout=1200) == StageFailed.exit_code, Path(f"{folder.path}.out").read_text()
    printed = " ".join(Path(f"{folder.path}.out").read_text().split())
    assert (
        "The stage rl failed. Rollout and trainer see different images: of the row phantom_grading/1/train/"
        in printed
    ), printed
    # 112 x 28 pixels are 8 x 2 patches of 14; the trainer's lie, the rollout's stand
    assert "image 1 has 8 x 2 patches in the rollout and 2 x 8 in training" in printed
    assert "EXIF orientation" in printed and "Traceback" not in printed
