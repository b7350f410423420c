import asyncio
import dataclasses

import pytest

from medical_rl.data import concepts
from medical_rl.data.concepts import LEXICON
from medical_rl.data.inspect.judge_concepts import MAX_CONCEPTS, ask_judge
from medical_rl.data.prepare import readers
from medical_rl.errors import RewardFailed, UserError


class Judge:
    """A judge that gives a fixed answer and keeps what it was asked."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    async def ask(self, messages, schema, **options):
        self.asked.append((messages, schema, options))
        return self.answer


def asked(judge, sample, **options):
    return asyncio.run(ask_judge(judge, sample, **options))


@pytest.mark.parametrize(
    "question, found",
    [
        # the paper's own example
        (
            "Does the chest radiograph show any signs of lung infection or congestion?",
            ("chest radiograph", "lung infection", "congestion"),
        ),
        # the longer term takes its words: neither "pleura" nor "effusion" beside it
        ("Is there a large PLEURAL  EFFUSION?", ("pleural effusion",)),
        ("Are there pleural-effusions on the chest X--ray?", ("pleural effusion", "chest radiograph")),
        ("Is there diabetic retinopathy or glaucoma?", ("diabetic retinopathy", "glaucoma")),
        ("Is the cup/disc ratio increased?", ("cup-to-disc ratio",)),
        # once each, in order of appearance
        ("Is the heart large, and is the heart failing? Any pneumothoraces?", ("heart", "pneumothorax")),
        # no word inside another
        ("Is the patient hearty and masseter-free?", ()),
        ("Is XXXX visible?", ()),
    ],
)
def test_the_lexicon_finds_terms_longest_first_in_order(question, found):
    assert concepts.concepts_of(question) == found


def test_none_stores_nothing():
    assert concepts.concepts_of("Is there a pneumothorax?", "none") == ()


def test_every_way_of_writing_belongs_to_one_concept():
    ways = [way for concept, others in LEXICON.items() for way in (concept, *others)]
    assert len(ways) == len(set(ways))
    for concept, others in LEXICON.items():
        for way in (concept, *others):
            assert concepts.concepts_of(f"Is there {way}?") == (concept,)
    assert [w for w in ways if w != w.casefold()] == []


def test_a_judge_is_sent_the_question_alone(make_sample):
    judge = Judge({"concepts": [" Lung Infection ", "congestion.", "congestion", ""]})
    sample = make_sample(kind="yes_no", question="Any infection?", answer="yes", meta={"report": "secret"})
    assert asked(judge, sample, timeout_s=5) == ("lung infection", "congestion")
    ((messages, schema, options),) = judge.asked
    assert messages[-1] == {"role": "user", "content": "Question: Any infection?"}
    assert "secret" not in str(messages) and "yes" not in str(messages[-1]["content"])
    assert schema["required"] == ["concepts"] and options == {"timeout_s": 5}


def test_a_restricted_row_reaches_no_judge_that_is_not_declared_covered(make_sample):
    judge, sample = Judge({"concepts": ["edema"]}), make_sample(restricted=True)
    with pytest.raises(UserError, match="restricted source"):
        asked(judge, sample)
    assert judge.asked == []
    assert asked(judge, sample, allow_restricted=True) == ("edema",)
    assert asked(judge, dataclasses.replace(sample, restricted=False)) == ("edema",)


@pytest.mark.parametrize("answer", [None, "edema", {}, {"concepts": "edema"}, {"concepts": [1]}])
def test_an_answer_that_is_not_of_the_schema_is_a_failure_and_no_concepts(make_sample, answer):
    with pytest.raises(RewardFailed, match="not a list of texts"):
        asked(Judge(answer), make_sample())


def test_a_judge_that_lists_too_many_is_cut(make_sample):
    many = [f"concept {i}" for i in range(20)]
    assert asked(Judge({"concepts": many}), make_sample()) == tuple(many[:MAX_CONCEPTS])


def test_the_question_readers_store_concepts_unless_told_not_to():
    for name in ("iu_xray", "fairvlmed", "mimic_cxr"):
        reader = readers.load_reader(name)
        readers.check_params(reader, name, {"concepts": "none"})
        with pytest.raises(UserError, match="value of concepts 'lexicom'. Did you mean 'lexicon'"):
            reader.rows("nowhere", "train", concepts="lexicom")
