"""`python -m medical_rl.pseudo_label read`: a user's own questions answered from a user's own reports."""

import json
import subprocess
import sys
import time

import pytest

from medical_rl.pseudo_label.__main__ import main


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def test_each_line_comes_back_with_its_answer_and_the_sentences_it_rests_on(tmp_path, capsys):
    file, out = tmp_path / "asked.jsonl", tmp_path / "told" / "answers.jsonl"
    report = "Heart normal. No pleural effusion. Possible pneumonia."
    file.write_text(
        lines(
            {"id": 7, "question": "Is there a pleural effusion?", "report": report, "answer": "Yes."},
            {"id": 8, "question": "Is there pneumonia?", "report": report},
            {"id": 9, "question": "Is there a rib fracture?", "report": report, "extra": [1, "\ud800"]},
            {"id": 10, "question": "Is the heart normal?", "report": report, "answer": "yes"},
            {"id": 11, "question": "Which side is affected?", "report": "Left effusion."},
        )
    )
    assert main(["read", str(file), "--out", str(out)]) == 0
    found = list(map(json.loads, out.read_text().splitlines()))
    assert [one["answer"] for one in found] == ["no", None, None, "yes", None]
    assert [one["sentences"] for one in found] == [
        ["No pleural effusion."], ["Possible pneumonia."], [], ["Heart normal."], [],
    ]  # fmt: skip
    # the line is repeated, its own answer kept beside ours
    assert found[0]["given_answer"] == "Yes." and found[2]["extra"] == [1, "\ud800"] and found[3]["id"] == 10
    said = capsys.readouterr().out
    assert (
        "5 questions: 1 yes, 1 no, 3 without an answer" in said
        and "1 of 2 agree with the line's own answer" in said
    )


@pytest.mark.parametrize(
    "text, says",
    [
        ('{"question": "?", "report": "x"}\nno json\n', "Line 2 .* is no JSON object"),
        ('{"question": "?"}\n', "Line 1 .* an object with question; each line needs `question` and `report`"),
        ('{"question": "?", "report": null}\n', "Line 1"),
        ("[1]\n", "Line 1"),
        ("\n", "has no lines"),
        (None, "cannot be read"),
    ],
)
def test_a_file_or_line_that_cannot_be_read_exits_2_with_one_paragraph_and_writes_nothing(
    text, says, tmp_path, capsys
):
    import re

    file, out = tmp_path / "asked.jsonl", tmp_path / "answers.jsonl"
    if text is not None:
        file.write_text(text)
    assert main(["read", str(file), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert re.search(says, said) and said.count("\n") == 1 and "Traceback" not in said and not out.exists()


def test_the_file_itself_is_not_overwritten(tmp_path, capsys):
    file = tmp_path / "asked.jsonl"
    file.write_text(lines({"question": "Is there an effusion?", "report": "No effusion."}))
    before = file.read_text()
    assert main(["read", str(file), "--out", str(file)]) == 2 and file.read_text() == before


def test_help_is_instant_and_loads_nothing_heavy():
    code = (
        "import sys\nfrom medical_rl.pseudo_label.__main__ import main\n"
        "try:\n    main(['read', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'nltk', 'yaml', 'pyarrow', 'datasets') if name in sys.modules])"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n") and "sentences" in done.stdout and time.monotonic() - started < 10
