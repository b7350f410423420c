from medical_rl.data.rows import EXAMPLES, Drops, drop_sentences


def test_a_row_counts_once_and_keeps_its_first_reason():
    drops = Drops()
    for _ in range(3):
        drops.add("row 1", "its image is broken", "a.png")
        drops.add("row 1", "it has no answer")
        drops.add("row 2", "it has no answer")
    assert drops.summary() == {
        "its image is broken": {"rows": 1, "examples": ["row 1: a.png"]},
        "it has no answer": {"rows": 1, "examples": ["row 2"]},
    }


def test_the_commonest_reason_comes_first_and_examples_are_few():
    drops = Drops()
    drops.add("odd", "rare")
    for i in range(1200):
        drops.add(str(i), "common")
    assert list(drops.summary()) == ["common", "rare"]
    assert drops.summary()["common"]["examples"] == [str(i) for i in range(EXAMPLES)]
    assert drop_sentences(drops.summary()) == [
        "Dropped 1,200 rows: common (0; 1; 2; 3; 4; ...).",
        "Dropped 1 row: rare (odd).",
    ]
