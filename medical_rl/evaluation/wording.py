"""What models and metrics are called in tables for people, and what is said beside every figure."""

READINGS = (
    "Accuracy is strict: the final answer stands in its mark, outside the thought. Lenient takes the last mark "
    "anywhere, else the bare text: what accuracy gains and lenient does not is a gain of format, not of knowledge."
)
DISCLAIMER = "Not for clinical use."
STRICT_NOTE = (
    "Answers are read strictly, so that learning their form is a gain here too; results.md has both readings."
)
LEAK_NOTE = (
    "{name}: allow_leaks was set, and {count:,} groups (patients, lesions or studies) are in both {both}: what is "
    "measured there is measured in part on what was trained on."
)
PHANTOM_NOTE = "Phantoms: images drawn by code, not medical images."
LABELS = {
    "base": "base (untrained or as downloaded)",
    "sft": "SFT (rival arm)",
    "warm_start": "warm start",
    "rl": "RL (best by validation)",
    "retrieve_then_answer": "retrieve, then answer",
    "localize_sft": "localised by SFT (rival arm)",
    "localize_rl": "localised by RL (best by validation)",
}
# Arms that stand beside the stages of a run: nothing later begins from them.
RIVALS = ("sft", "localize_sft", "retrieve_then_answer")
# Metric -> heading, in the order shown; a column no row has is left out.
COLUMNS = {
    "accuracy": "Accuracy [95 % CI]",
    "accuracy_parsed": "Accuracy among parsed",
    "lenient": "Lenient accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "majority_rate": "Majority rate",
    "macro_f1": "Macro F1",
    "unparsed": "Unparsed",
    "mae": "MAE",
    "quadratic_kappa": "Quadratic kappa",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "auroc": "AUROC",
    "mean_iou": "Mean IoU",
    "hit_rate": "Hit rate",
}
