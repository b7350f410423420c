"""What verl and EasyR1 read must be what the sample says, which rewards and reports read."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medical_rl.data import parquet
from medical_rl.data.inspect import check


@pytest.fixture
def edited(folder, clean):
    """A function that writes the clean set with one test row changed, and gives its folder."""

    def make(change, row=5):
        path = folder(clean)
        rows = pq.read_table(path / "test.parquet").to_pylist()
        change(rows[row])
        pq.write_table(pa.Table.from_pylist(rows, parquet.SCHEMA), path / "test.parquet")
        return path

    return make


CHANGES = {
    "reward_model.ground_truth": lambda row: row["reward_model"].update(ground_truth="zzz"),
    "answer": lambda row: row.update(answer="b" if row["answer"] == "a" else "a"),
    "data_source": lambda row: row.update(data_source="other"),
    "extra_info.id": lambda row: row["extra_info"].update(id="train/5"),
    "extra_info.split": lambda row: row["extra_info"].update(split="train"),
    "problem": lambda row: row.update(problem="<image>What is the weather?"),
}


@pytest.mark.parametrize("column", CHANGES)
def test_a_column_that_contradicts_its_sample_is_an_error_with_its_row(edited, found_in, column):
    path = edited(CHANGES[column])
    (finding,) = found_in(path)["columns"]
    assert finding.level == "error" and check.check_folder(path).exit_code == 1
    assert finding.message == f"test: 1 row: {column} is not what its sample says."
    assert finding.examples[0].startswith("test/5: ")
    assert check.check_folder(path, accept=["columns"]).exit_code == 0


def test_null_columns_are_found_and_not_crashed_on(edited, found_in):
    path = edited(lambda row: row.update(reward_model=None, extra_info=None, answer=None))
    assert len(found_in(path)["columns"]) == 4


def test_a_question_that_no_reader_of_the_prompt_sees_is_a_warning(edited, found_in):
    def change(row):
        row["problem"] = row["prompt"][-1]["content"] = "<image>What is the weather?"

    (finding,) = found_in(edited(change))["columns"]
    assert finding.level == "warning" and finding.examples[0].startswith("test/5")
