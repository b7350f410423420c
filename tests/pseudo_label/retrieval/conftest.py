"""Fixtures of the retrieval tests: phantom reports and rows made by hand, and RULE's real files where they are."""

import pytest
from omegaconf import OmegaConf

from medical_rl.config import compose
from medical_rl.data.prepare import readers
from medical_rl.data.reports import Report
from medical_rl.data.rows import Drops
from medical_rl.sample import Sample


@pytest.fixture(scope="session")
def chosen():
    """A function from a retriever's name to its settings, as conf/retriever has them."""
    return lambda name: OmegaConf.to_container(compose.choose("retriever", name), resolve=True)


@pytest.fixture
def bm25(chosen):
    return chosen("bm25")


@pytest.fixture
def row():
    """A function that makes a yes/no row."""

    def make(id="1", question="Is there a phantom effusion?", **fields):
        return Sample(id=id, source="demo", kind="yes_no", answer="yes", question=question, **fields)

    return make


@pytest.fixture
def report():
    """A function that makes a report of a study of its own, of the training split."""
    return lambda id, text, group=None, split="train", **fields: Report(
        id, text, group or f"study {id}", split, **fields
    )


@pytest.fixture(scope="session")
def rule_files(realdata):
    return realdata / "iu_xray"


@pytest.fixture(scope="session")
def real_rows(rule_files):
    """RULE's 2,488 usable questions about 587 studies, without images."""
    reader = readers.load_reader("iu_xray")
    options = {"questions": "rule_iuxray_test.jsonl", "splits": "test", "require_images": False}
    return list(reader.rows(rule_files, "test", drops=Drops(), **options))


@pytest.fixture(scope="session")
def real_reports(rule_files):
    """RULE's 2,069 reports, all of studies that no question is about."""
    reader = readers.load_reader("iu_xray")
    return [Report(e["id"], e["text"], e["study"], "train") for e in reader.reports(rule_files)]
