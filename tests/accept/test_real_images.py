"""Real PneumoniaMNIST, official 624 test images, at the tiny scale: reported as it comes out."""

import pytest

pytestmark = [pytest.mark.accept, pytest.mark.timeout(1800)]


def test_pneumoniamnist_completes_with_results_for_all_three_models(accept, realdata, figures):
    source = realdata / "medmnist" / "pneumoniamnist.npz"
    folder = accept.train(
        "pneumoniamnist",
        "conf/data=pneumoniamnist",
        f"conf.data.source={source}",
        "conf.data.allow_altered=true",
    )
    results = accept.results(folder)
    assert list(results) == ["base", "warm_start", "rl"]
    lines = [
        "# PneumoniaMNIST at the tiny scale",
        "",
        "A tiny Qwen2.5-VL with random weights on real images: SFT on the training split of an altered mirror (3,882 of the official 4,708",
        "rows), then GRPO on the same rows; the official 624 test images, greedy. One seed, reported as it came out; two cores, no GPU.",
        "Not for clinical use.",
        "",
        "| model | accuracy [95 %] | balanced accuracy | majority rate | macro F1 | unparsed |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in results.items():
        assert row["n"] == 624 and row["split"] == "test"
        m, (low, high) = row["metrics"], row["interval"]["accuracy"]
        assert m["majority_rate"] == pytest.approx(0.625)
        lines.append(
            f"| {name} | {m['accuracy']:.3f} [{low:.3f}, {high:.3f}] | {m['balanced_accuracy']:.3f} | {m['majority_rate']:.3f} | {m['macro_f1']:.3f} | {m['unparsed']:.3f} |"
        )
    lines += ["", f"Seconds, all stages: {accept.wall_s(folder):.0f}. Written by `make accept`.", ""]
    (figures / "pneumoniamnist.md").write_text("\n".join(lines))
