"""HAM10000 split by lesion, the same for classes and boxes; and prepared by hand."""

import collections
import doctest
import json


def test_no_lesion_is_in_two_splits_and_both_tasks_have_the_same_split(ham, mini, read_all):
    source = mini()
    samples, dropped = read_all(ham, source)
    groups = [{s.group for s in samples[split]} for split in ham.SPLITS]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 50 and not dropped
    # 20 % of 40 nv and of 20 mel images are 8 and 4
    assert collections.Counter(s.answer for s in samples["test"]) == {"melanocytic nevi": 8, "melanoma": 4}
    boxes, _ = read_all(ham, source, task="boxes")
    assert [[s.id for s in boxes[split]] for split in ham.SPLITS] == [
        [s.id for s in samples[split]] for split in ham.SPLITS
    ]
    other, _ = read_all(ham, source, split_seed=1)
    assert {s.group for s in other["test"]} != groups[2]


def test_the_split_does_not_change_where_images_are_missing(ham, mini, read_all):
    source = mini()
    before, _ = read_all(ham, source)
    gone = [path for path in source.glob("*part_1/*.jpg")][:20]
    for path in gone:
        path.unlink()
    after, dropped = read_all(ham, source)
    assert len(dropped) == 20
    for split in ham.SPLITS:
        assert [s.id for s in after[split]] == [
            s.id for s in before[split] if s.id.split("/")[1] not in dropped
        ]


def test_by_hand_with_knowledge_it_is_prepared_and_drops_are_printed(ham, mini, tmp_path, capsys):
    source = mini()
    next(source.glob("*/ISIC_0000007.jpg")).unlink()
    out = tmp_path / "out"
    assert ham.main(["--source", str(source), "--out", str(out), "--knowledge", "ham10000"]) == 0
    said = capsys.readouterr().out
    assert "Dropped 1 row: its image is not in the folder (ISIC_0000007)." in said
    card = json.loads((out / "card.json").read_text())
    assert card["dropped"] == {"its image is not in the folder": {"rows": 1, "examples": ["ISIC_0000007"]}}
    assert card["about"]["split"] == "by lesion, seed 0, test 20%, val 5%"
    assert (
        ham.main(
            [
                "--source",
                str(source),
                "--out",
                str(tmp_path / "boxes"),
                "--task",
                "boxes",
                "--knowledge",
                "ham10000_boxes",
            ]
        )
        == 0
    )


def test_its_examples_run(ham):
    assert doctest.testmod(ham).failed == 0
