"""The sources of synonyms: our tables, and WordNet where it is installed."""

import os
import shutil
from pathlib import Path

import pytest

from medical_rl.errors import UserError
from medical_rl.reward_model.grading.synonyms import (
    DOWNLOAD,
    Table,
    Unseen,
    builtin_table,
    held_out_table,
    load,
)
from medical_rl.reward_model.grading.text_changes import DOUBTS, NEGATIONS, NUMBERS, SIDES

DECISIVE = NEGATIONS | DOUBTS | NUMBERS | SIDES
TABLES = {"builtin": builtin_table(), "held_out": held_out_table()}
# WordNet's lexicographer files in their order, each with its part of speech; Debian leaves the file that says so out.
LEXNAMES = {
    "adj": "all pert", "adv": "all",
    "noun": "Tops act animal artifact attribute body cognition communication event feeling food group location motive object "
    "person phenomenon plant possession process quantity relation shape state substance time",
    "verb": "body change cognition communication competition consumption contact creation emotion motion perception possession "
    "social stative weather",
}  # fmt: skip
PARTS = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


@pytest.mark.parametrize("name", TABLES)
def test_no_entry_of_a_table_decides_a_finding(name):
    for phrase, ways in TABLES[name].items():
        assert ways and phrase not in ways and phrase == phrase.lower()
        for way in (phrase, *ways):
            assert not DECISIVE.intersection(way.split()) - {"number"}, way


def test_the_builtin_table_has_about_a_hundred_phrases_and_no_stranger_pair():
    table = builtin_table()
    assert len(table) > 100
    assert "lung" not in table and "heart" not in table  # nouns that the adjective cannot stand for
    for apart in (("opacity", "density"), ("nodule", "mass"), ("large", "huge"), ("lesion", "normal")):
        assert apart[1] not in table.get(apart[0], ())


def test_a_wider_word_does_not_lead_back():
    table = builtin_table()
    assert "abnormality" in table["lesion"] and "abnormality" not in table


def test_the_probes_words_are_in_no_table_of_training():
    table = builtin_table()
    known = set(table) | {way for ways in table.values() for way in ways}
    assert not known.intersection(way for ways in held_out_table().values() for way in ways)


def test_unseen_takes_away_what_training_gives_for_the_same_phrase():
    unseen = Unseen(
        Table("a", {"big": ("large", "vast")}), Table("b", {"big": ("vast",), "small": ("large",)})
    )
    assert unseen.of("big") == ("large",) and unseen.of("small") == ()


def test_an_unknown_source_is_named_with_those_there_are():
    with pytest.raises(UserError, match="'wordnt'.*Did you mean 'wordnet'"):
        load("wordnt")


def test_a_missing_corpus_says_the_one_command_and_the_way_without(tmp_path):
    with pytest.raises(UserError) as caught:
        load("wordnet", tmp_path)
    assert (
        DOWNLOAD in str(caught.value)
        and str(tmp_path) in str(caught.value)
        and "builtin" in str(caught.value)
    )


def test_a_broken_corpus_is_the_users_error_too(tmp_path):
    (tmp_path / "corpora" / "wordnet").mkdir(parents=True)
    (tmp_path / "corpora" / "wordnet" / "lexnames").write_text("no number\n")
    with pytest.raises(UserError, match="cannot be read"):
        load("wordnet", tmp_path)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """A folder with corpora/wordnet made of an installed WordNet: Debian's wordnet-base and wordnet-sense-index, or WNSEARCHDIR."""
    installed = Path(os.environ.get("WNSEARCHDIR", "/usr/share/wordnet"))
    missing = [name for name in ("data.noun", "index.sense") if not (installed / name).is_file()]
    if missing:
        pytest.skip(
            f"no WordNet in {installed} ({', '.join(missing)} absent): apt install wordnet-base wordnet-sense-index"
        )
    folder = tmp_path_factory.mktemp("nltk_data")
    # copied, as nltk follows no link out of its folders
    shutil.copytree(
        installed, folder / "corpora" / "wordnet", ignore=shutil.ignore_patterns("*.vrb", "cntlist")
    )
    names = [
        (f"{part}.{name}", PARTS[part]) for part, listed in LEXNAMES.items() for name in listed.split()
    ] + [("adj.ppl", 3)]
    lines = [f"{number:02d}\t{name}\t{part}\n" for number, (name, part) in enumerate(names)]
    assert len(lines) == 45
    (folder / "corpora" / "wordnet" / "lexnames").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def wordnet(corpora):
    return load("wordnet", corpora)


def test_wordnet_gives_the_words_of_the_same_sense(wordnet):
    # synsets large.a.01 (large, big), small.a.01 (small, little), huge.s.01 (huge, immense, vast, Brobdingnagian)
    assert wordnet.of("large") == ("big",) and wordnet.of("small") == ("little",)
    assert wordnet.of("huge") == ("immense", "vast")


def test_wordnet_has_nothing_for_words_of_several_senses(wordnet):
    # disc: a record; heart: the bosom; film: a movie; noted: famous; severe: wicked; slight: a rebuff
    for word in ("disc", "heart", "film", "noted", "severe", "slight", "left", "right", "a", "mass"):
        assert wordnet.of(word) == (), word


def test_wordnet_has_nothing_for_phrases_and_unknown_words(wordnet):
    assert (
        wordnet.of("is enlarged")
        == wordnet.of("roundelay-like")
        == wordnet.of("t2")
        == wordnet.of("qqq")
        == ()
    )


def test_a_corpus_in_the_zip_of_the_downloader_reads_the_same(corpora, wordnet, tmp_path):
    (tmp_path / "corpora").mkdir()
    shutil.make_archive(str(tmp_path / "corpora" / "wordnet"), "zip", corpora / "corpora", "wordnet")
    assert load("wordnet", tmp_path).of("huge") == wordnet.of("huge")


def test_the_corpora_folder_itself_may_be_named(corpora, wordnet):
    assert load("wordnet", corpora / "corpora").of("large") == ("big",)
