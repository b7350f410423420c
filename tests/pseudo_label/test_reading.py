"""What a report says to a question: negations, doubts, places, names inside other words."""

import time

import pytest

from medical_rl.pseudo_label.report_reader.questions import query
from medical_rl.pseudo_label.report_reader.reading import read_report

YES, NO, DOUBT, NOTHING = "affirmed", "negated", "uncertain", None
EFFUSION, HEART = "Is there a pleural effusion on the chest X-ray?", "Is the heart enlarged on the X-ray?"


@pytest.mark.parametrize(
    "question, report, says",
    [
        # a denial ends at "but", and reaches over a list's commas
        (EFFUSION, "No evidence of effusion but cardiomegaly.", NO),
        ("Does the X-ray show cardiomegaly?", "No evidence of effusion but cardiomegaly.", YES),
        (EFFUSION, "No focal consolidation, pneumothorax, or definite pleural effusion.", NO),
        (EFFUSION, "The lungs are clear without pneumothorax or effusion.", NO),
        ("Is there a pneumothorax?", "The lungs are clear without pneumothorax or effusion.", NO),
        (EFFUSION, "No pneumothorax, stable small effusion.", YES),
        (EFFUSION, "There is no pneumothorax and there is a small effusion.", YES),
        # a denial after the finding
        (EFFUSION, "A pleural effusion is not seen.", NO),
        (EFFUSION, "Pleural effusions: absent.", NO),
        (EFFUSION, "The effusion has resolved.", NO),
        ("Is there a fracture?", "Displaced rib fractures are unlikely.", NO),
        # words of denial that deny nothing here
        (EFFUSION, "No significant change in the pleural effusion.", YES),
        (EFFUSION, "No interval change of the left effusion.", YES),
        # doubt is neither; under a denial it is a denial
        (EFFUSION, "Cannot exclude a small effusion.", DOUBT),
        (EFFUSION, "A small effusion cannot be excluded.", DOUBT),
        (EFFUSION, "Blunting may represent a small effusion.", DOUBT),
        ("Is there pneumonia?", "There is no opacity to suggest a pneumonia.", NO),
        # places and what follows from their being normal
        (HEART, "Heart size normal.", NO),
        (HEART, "The heart is not enlarged.", NO),
        (HEART, "Heart: enlarged. Lungs are clear.", YES),
        (HEART, "The heart is enlarged and the lungs are clear.", YES),
        (HEART, "Stable enlargement of the cardiac silhouette.", YES),
        ("Is the heart size within normal limits?", "Heart size is normal.", YES),
        ("Is the heart size within normal limits?", "Borderline cardiomegaly.", NO),
        ("Is there cardiomegaly?", "Cardiomediastinal silhouette is within normal limits.", NO),
        ("Are the lungs clear?", "Lungs are clear. No effusion.", YES),
        ("Is there any bony abnormality?", "No acute bony abnormality.", NO),
        ("Does the X-ray show pneumonia?", "The lungs are clear.", NO),
        # the other side is another finding
        ("Is there a left pleural effusion?", "Small right pleural effusion.", NOTHING),
        ("Is there a right pleural effusion?", "Small right pleural effusion.", YES),
        # the question itself denies
        ("Is the chest free of pleural effusion?", "No pleural effusion.", YES),
        ("Is the picture without any abnormality?", "Large left pleural effusion.", NO),
        # a finding's name inside another word, or in another finding's name
        ("Is there a mass?", "Massive cardiomegaly.", NOTHING),
        ("Are there rib fractures?", "Ribbon-like artefact.", NOTHING),
        (EFFUSION, "There is hydropneumothorax.", NOTHING),
        ("Is there edema?", "Perihilar haziness.", NOTHING),
        # inflections and other names
        ("Is there an opacity?", "Bibasilar opacities.", YES),
        (EFFUSION, "Fluid in the pleural space on the left.", YES),
        # full stops: none within a number, one without a space behind it
        ("Is there a nodule?", "A 0.5 cm nodule is seen.There is no effusion.", YES),
        (EFFUSION, "A 0.5 cm nodule is seen.There is no effusion.", NO),
        # what the lexicon does not know: all of the question's own words in one clause
        ("Is there a disc in the picture?", "A large disc on the left.", YES),
        ("Is there a disc in the picture?", "There is no disc.", NO),
        ("Is there a disc in the picture?", "There is a ring.", NOTHING),
        # nothing, and nothing readable
        (EFFUSION, "", NOTHING),
        (EFFUSION, "\u2028 \u2028", NOTHING),
        ("", "No effusion.", NOTHING),
        ("?!", "No effusion.", NOTHING),
    ],
)  # fmt: skip
def test_a_report_says(question, report, says):
    assert read_report(query(question), report).state == says


def test_what_decides_is_quoted_and_nothing_else():
    said = read_report(
        query(EFFUSION), "Heart normal. No effusion.\u2028Lungs are clear. No pneumothorax or effusion."
    )
    assert said.sentences == ("No effusion.", "No pneumothorax or effusion.")


def test_long_and_hostile_text_is_read_in_time():
    """Some seconds; where every mention read its whole clause again, it was five minutes."""
    started = time.monotonic()
    for text in (
        "no " * 20_000 + "effusion",
        "effusion, " * 20_000,
        "a" * 200_000,
        "." * 100_000,
        "(" * 100_000,
    ):
        read_report(query(EFFUSION), text)
    assert time.monotonic() - started < 60
