"""Packaging: `conf/` and `data_preprocess/` (by the link in the package) ship inside it: only `medical_rl` is at the top level."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def conf_packages() -> dict[str, str]:
    """{package: folder} for conf/ and each of its groups, mapped under medical_rl._root."""
    folders = [HERE / "conf", *sorted(p for p in (HERE / "conf").rglob("*") if p.is_dir())]
    relative = [folder.relative_to(HERE) for folder in folders]
    return {"medical_rl._root." + ".".join(r.parts): str(r) for r in relative}


CONF = conf_packages()
version = next(
    line.split('"')[1]
    for line in (HERE / "medical_rl/__init__.py").read_text().splitlines()
    if "__version__" in line
)

setup(
    name="medical_rl",
    version=version,
    description="Reinforcement of medical vision-language models: an adapter to verl, a reward and data toolkit, three papers",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[*find_packages(include=["medical_rl", "medical_rl.*"]), *CONF],
    package_dir=CONF,
    package_data={"": ["*.yaml", "*.jinja", "prompts/*.txt"]},
    # The light part: composing configs, scoring, preparing data. The engine is an extra,
    # because its pins differ between a CPU and a GPU host (requirements/cpu.txt, requirements/gpu.txt).
    install_requires=[
        "hydra-core>=1.3.2",
        "omegaconf>=2.3",
        "numpy>=2.0",
        "pillow",
        "pyarrow>=19",
        "jinja2",
        "rich",
        "psutil",
        "scikit-learn",
        "scipy",
        "matplotlib",
        "nltk",
        "openai>=3.51",
        "aiohttp>=3.14.4",
        "jsonschema",
        "medmnist>=3.0.2",
        "bm25s>=0.3.16",
        "filelock>=3.20",
    ],
    extras_require={
        "gpu": ["verl[vllm]==0.9.1"],
        # conf/retriever=clip
        "retrieval": ["faiss-cpu>=1.15.1"],
        # preference alignment of a labeller (conf/alignment=dpo)
        "align": ["trl>=1.16", "peft", "datasets"],
        # DICOM images of one's own (conf/data=custom)
        "dicom": ["pydicom>=3"],
        "slurm": ["hydra-submitit-launcher==1.2.0"],
        "test": [
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "hypothesis",
            "ruff",
            "trl",
            "datasets",
            "pydicom>=3",
        ],
    },
    entry_points={
        "console_scripts": ["medical-rl = medical_rl.main:main"],
        # loaded by every `import verl`: registers our reward manager as "medical" in plain verl
        "verl.plugins": ["medical_rl = medical_rl.engine.verl_entry"],
    },
)
