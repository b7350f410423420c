"""The seed of R_phi: preferences distilled from a large model (MedGR2: 2k pairs from GPT-4o).

Of a row two of the builders' texts are shown with its images, in an order drawn for the row, since judges
favour a place; the judge says which is better. It is told neither the gold answer nor the builders' grades:
where it agrees with them can be counted.
"""

import dataclasses
import functools
import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

from medical_rl.judges.endpoint import refuse_restricted
from medical_rl.judges.judge import ask_all
from medical_rl.judges.messages import fence
from medical_rl.reward_model.graded import Graded, write_graded
from medical_rl.reward_model.grading.grades import BUILDERS, CONTRADICTIONS
from medical_rl.reward_model.grading.synonyms import Synonyms
from medical_rl.reward_model.grading.text_maker import Donors, TextMaker
from medical_rl.run.files import write_text
from medical_rl.sample import Sample
from medical_rl.seeding import rank

# Builders whose texts are compared. Two of equal grade are compared too: of those the builders know no order.
CANDIDATES = {**BUILDERS, **CONTRADICTIONS}
SCHEMA = {
    "type": "object",
    "properties": {
        "better": {"type": "string", "enum": ["first", "second", "tie"]},
        "reason": {"type": "string"},
    },
    "required": ["better", "reason"],
    "additionalProperties": False,
}
INSTRUCTIONS = Path(__file__).with_name("prompts").joinpath("compare.txt").read_text(encoding="utf-8").strip()


@dataclasses.dataclass(frozen=True)
class Preference:
    """A judge's word on two responses to one sample. `better_first`: the better one was shown first."""

    better: Graded
    worse: Graded
    better_first: bool
    reason: str

    @property
    def agrees(self) -> bool:
        """Whether the builders' grades say the same."""
        return self.better.grade > self.worse.grade


def distil(
    samples: Iterable[Sample],
    prompt_cfg: Mapping,
    seed: int,
    synonyms: Synonyms,
    judge,
    *,
    donors: Donors,
    pairs: int = 2000,
    allowed: float = 0.05,
) -> list[Preference]:
    """The judge's preferences on two responses to each of `pairs` drawn rows; ties and failures left out.

    donors   whose texts are lent (`Donors(samples, seed)`)
    allowed  the share of questions that may fail

    Raises UserError for a restricted row that the judge may not be sent, before anything is asked;
    AskingStopped (exit 1) where more than `allowed` failed or a cap of the budget was met. What was answered
    is in the judge's cache: the same call asks the rest.
    """
    maker = TextMaker(prompt_cfg, seed, synonyms, donors)
    shown: dict[str, tuple[Graded, Graded]] = {}
    questions = {}
    for sample in heapq.nsmallest(pairs, samples, key=lambda s: rank(str(seed), "distilled", s.source, s.id)):
        refuse_restricted(judge.endpoint, sample.restricted, sample.source)
        responses = candidates(sample, maker)
        if responses is not None:
            name = f"{sample.source}/{sample.id}"
            shown[name] = responses
            questions[name] = functools.partial(compare, judge, *responses)
    verdicts, _ = ask_all(questions, "preferences", allowed)
    preferences = []
    for name, (first, second) in shown.items():
        verdict = verdicts.get(name, {"better": "tie"})
        if verdict["better"] != "tie":
            first_won = verdict["better"] == "first"
            better, worse = (first, second) if first_won else (second, first)
            preferences.append(Preference(better, worse, first_won, verdict["reason"]))
    return preferences


def candidates(sample: Sample, maker: TextMaker) -> tuple[Graded, Graded] | None:
    """Two different texts for the sample, of builders and in an order drawn for it; None where one lacks."""
    rows: dict[str, Graded] = {}
    for name in maker.rng("candidates", sample.id).permutation(sorted(CANDIDATES)):
        row = CANDIDATES[str(name)](sample, maker)
        if row is not None:
            rows.setdefault(row.text, row)
        if len(rows) == 2:
            first, second = rows.values()
            return first, second
    return None


async def compare(judge, first: Graded, second: Graded) -> dict:
    """{"better": first, second or tie, "reason"} of the judge, shown the images; raises as `judge.ask`."""
    sample = first.sample
    case = fence({"question": sample.question, "first": first.text, "second": second.text})
    messages = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": case}]
    return await judge.ask(messages, SCHEMA, sample.images, sample.restricted, sample.source)


def agreement_figures(preferences: Sequence[Preference]) -> dict[str, float]:
    """{"pairs", "better_first", "ordered", "agree"} of a judge's preferences.

    pairs         how many there are
    better_first  share won by the one shown first: near a half for a judge without a bias of place
    ordered       how many are of responses with different grades
    agree         share of these in which the judge sides with the grades
    """
    ordered = [p for p in preferences if p.better.grade != p.worse.grade]
    return {
        "pairs": len(preferences),
        "better_first": sum(map(attrgetter("better_first"), preferences)) / max(1, len(preferences)),
        "ordered": len(ordered),
        "agree": sum(map(attrgetter("agrees"), ordered)) / max(1, len(ordered)),
    }


def agreeing_rows(preferences: Iterable[Preference]) -> list[Graded]:
    """The rows of the pairs in which the judge sides with the grades, each once: for the squared error."""
    rows = {}
    for preference in preferences:
        if preference.agrees:
            for row in (preference.better, preference.worse):
                rows[row.sample.source, row.sample.id, row.text] = row
    return list(rows.values())


def write_pairs(preferences: Sequence[Preference], path: Path | str) -> int:
    """Write graded rows to `path`, better and worse in turn, and the judge's words to PATH.jsonl.

    The result is the number of pairs.
    """
    path = Path(path)
    rows, lines = [], []
    for preference in preferences:
        better, worse = preference.better, preference.worse
        rows += [better, worse]
        record = {
            "id": better.sample.id, "source": better.sample.source, "better": better.made_by,
            "worse": worse.made_by, "better_first": preference.better_first, "reason": preference.reason,
        }  # fmt: skip
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    write_text(path.with_name(f"{path.name}.jsonl"), "".join(lines))
    return write_graded(rows, path) // 2
