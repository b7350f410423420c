"""Options that an answer can be read as are kept, whatever tells them apart."""

import pytest

from medical_rl.data.options import clean_options
from medical_rl.parsing.response import parse, read
from medical_rl.sample import Sample

SIGNS = [
    ["<5 mm", ">5 mm"],
    ["-1", "1"],
    ["1:2", "12"],
    ["0.5", "5"],
    ["(Normal)", "Normal"],
    ["+", "-"],
    ["T2*", "T2"],
]


@pytest.mark.parametrize("options", SIGNS, ids=" ".join)
@pytest.mark.parametrize("lettered", [True, False])
def test_options_that_differ_in_signs_only_are_kept_and_each_is_read_as_itself(options, lettered):
    assert list(clean_options(options, lettered)) == options
    row = {"id": "1", "source": "demo", "question": "?", "answer": options[0], "choices": tuple(options)}
    for kind in ("choice", "label"):
        for option in options:
            answer = parse(rf"\boxed{{{option}}}")
            assert read(answer, Sample(**row, kind=kind)) == option


@pytest.mark.parametrize("other", ["normal", "NORMAL.", " Normal ", "Nor\u00admal"])
def test_options_that_are_equal_but_for_case_are_one(other):
    assert clean_options(["Normal", other, "Cyst"]) == ("Normal", "Cyst")
