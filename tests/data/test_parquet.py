import errno

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medical_rl.data import parquet
from medical_rl.errors import UserError

BARE = {"name": "bare", "template": "{{ question }}", "system": None, "target": "{{ answer }}"}


@pytest.fixture
def written(tmp_path, make_sample):
    """Five samples on disk in row groups of two, and the samples."""
    samples = [
        make_sample(i, images=i % 3, answer="ab"[i % 2], question=f"Größe {i}?", size=(2, 3))
        for i in range(5)
    ]
    path = tmp_path / "train.parquet"
    parquet.write_split(iter(samples), path, BARE, rows_per_group=2)
    return path, samples


def test_samples_come_back_equal_and_in_order(written):
    path, samples = written
    assert list(parquet.read_samples(path)) == samples
    assert parquet.count_rows(path) == 5
    parquet.check_columns(path)


def test_counts_are_of_rows_and_answers(tmp_path, make_sample):
    counts = parquet.write_split(
        [make_sample(i, answer="ab"[i == 0]) for i in range(3)], tmp_path / "x.parquet", BARE
    )
    assert counts == {"rows": 3, "labels": {"a": 2, "b": 1}}


def test_row_groups_end_at_rows_or_at_pixels(tmp_path, written, make_sample):
    assert pq.ParquetFile(written[0]).num_row_groups == 3  # 2 + 2 + 1 rows
    path = tmp_path / "pixels.parquet"
    # One picture has 2 x 3 = 6 pixels: the budget of 12 is met by every second row.
    parquet.write_split([make_sample(i) for i in range(4)], path, BARE, max_pixels_per_row_group=12)
    assert pq.ParquetFile(path).num_row_groups == 2


def test_schema_is_what_verl_and_easyr1_read(written):
    path, samples = written
    table = pq.read_table(path)
    assert table.schema.equals(parquet.SCHEMA)
    row = table.to_pylist()[1]
    assert row["data_source"] == "demo"
    assert row["prompt"] == [{"role": "user", "content": "<image>Größe 1?"}]
    assert row["images"] == [{"bytes": samples[1].images[0], "path": None}]
    assert row["reward_model"] == {"style": "rule", "ground_truth": "b"}
    assert row["extra_info"] == {"split": "train", "index": 1, "id": "1"}
    assert row["problem"] == "<image>Größe 1?" and row["answer"] == "b" and row["ability"] == "medical"


def test_a_failing_reader_leaves_the_old_file_and_no_other(written, make_sample):
    path, _ = written
    before = path.read_bytes()

    def broken():
        yield make_sample("fine")
        raise UserError("the source ended early")

    with pytest.raises(UserError, match="ended early"):
        parquet.write_split(broken(), path, BARE, rows_per_group=1)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["train.parquet"]


def test_a_full_disk_leaves_nothing_half_written(tmp_path, make_sample, monkeypatch):
    written = []

    class FullDisk(pq.ParquetWriter):
        def write_table(self, table, *args, **kwargs):
            if written:
                raise OSError(errno.ENOSPC, "No space left on device")
            written.append(table.num_rows)
            super().write_table(table, *args, **kwargs)

    monkeypatch.setattr(pq, "ParquetWriter", FullDisk)
    with pytest.raises(OSError, match="No space left"):
        parquet.write_split(
            [make_sample(i) for i in range(4)], tmp_path / "x.parquet", BARE, rows_per_group=2
        )
    assert written == [2]
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_image_is_named_and_nothing_is_written(tmp_path, make_sample):
    import dataclasses

    bad = dataclasses.replace(make_sample("patient-7"), images=(b"junk",))
    with pytest.raises(UserError, match="Image 0 of sample 'patient-7'"):
        parquet.write_split([make_sample(), bad], tmp_path / "x.parquet", BARE)
    assert list(tmp_path.iterdir()) == []


def test_missing_columns_are_listed(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"data_source": ["demo"], "answer": ["a"]}), path)
    with pytest.raises(
        UserError, match="lacks the columns prompt, images, .*sample; it has data_source, answer"
    ):
        parquet.check_columns(path)


def test_a_column_of_another_type_is_named(tmp_path, written):
    table = pq.read_table(written[0])
    table = table.set_column(table.schema.get_field_index("prompt"), "prompt", pa.array(["text"] * 5))
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(UserError, match="Column prompt .* is string"):
        parquet.check_columns(tmp_path / "x.parquet")


def test_large_strings_of_other_tools_are_accepted(tmp_path, written):
    table = pq.read_table(written[0])
    for name in ("answer", "sample"):
        table = table.set_column(
            table.schema.get_field_index(name), name, table[name].cast(pa.large_string())
        )
    pq.write_table(table, tmp_path / "x.parquet")
    parquet.check_columns(tmp_path / "x.parquet")


def test_the_row_whose_placeholders_differ_is_named(tmp_path, written):
    rows = pq.read_table(written[0]).to_pylist()
    rows[3]["prompt"][0]["content"] = "<image><image>?"  # sample 3 has 3 % 3 = 0 images
    pq.write_table(pa.Table.from_pylist(rows, parquet.SCHEMA), tmp_path / "x.parquet", row_group_size=2)
    with pytest.raises(UserError, match="Row 3 .* has 2 <image> in its prompt and 0 images"):
        parquet.check_columns(tmp_path / "x.parquet")


def test_an_empty_file_is_refused(tmp_path):
    parquet.write_split([], tmp_path / "x.parquet", BARE)
    assert parquet.count_rows(tmp_path / "x.parquet") == 0
    with pytest.raises(UserError, match="no rows"):
        parquet.check_columns(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    "use", [parquet.check_columns, parquet.count_rows, lambda path: list(parquet.read_samples(path))]
)
def test_what_is_not_parquet_is_told_with_its_path(tmp_path, use):
    path = tmp_path / "x.parquet"
    with pytest.raises(UserError, match="no file .*x.parquet"):
        use(path)
    path.write_bytes(b"PAR1 but not really")
    with pytest.raises(UserError, match="x.parquet cannot be read as parquet"):
        use(path)
    with pytest.raises(UserError, match="cannot be read as parquet"):
        use(tmp_path)


def test_records_of_another_schema_are_refused_by_name(tmp_path, written):
    ours = pa.schema([("text", pa.string()), ("grade", pa.float64())])
    parquet.write_records([{"text": "a", "grade": 1.0}], tmp_path / "graded.parquet", ours)
    assert list(parquet.read_records(tmp_path / "graded.parquet", ours)) == [{"text": "a", "grade": 1.0}]
    with pytest.raises(UserError, match="lacks the columns text, grade; it has data_source"):
        list(parquet.read_records(written[0], ours))
    with pytest.raises(UserError, match="Column grade of .* is double, but should be int64"):
        list(parquet.read_records(tmp_path / "graded.parquet", pa.schema([("grade", pa.int64())])))
