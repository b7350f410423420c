"""The wheel: nothing but `medical_rl` at the top level, and the command works from it in an empty folder."""

import os
import subprocess
import sys
import zipfile

import pytest


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    """A wheel built from a copy of the tracked source, so that the checkout stays clean."""
    copy, out = tmp_path_factory.mktemp("source") / "medical_rl", tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if (root / name).is_symlink():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).symlink_to((root / name).readlink())
        elif (root / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((root / name).read_bytes())
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        str(copy),
    ]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


def test_nothing_but_medical_rl_is_installed_at_the_top_level(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"medical_rl"}
    assert "medical_rl/_root/conf/vrft_aug.yaml" in names and "medical_rl/_root/conf/scale/tiny.yaml" in names
    assert (
        "medical_rl/data_preprocess/medmnist.py" in names
        and "medical_rl/data_preprocess/custom/__main__.py" in names
    )
    assert "medical_rl/loop/generators/prompts/meta_cognitive.txt" in names
    assert "medical_rl/pseudo_label/labellers/prompts/reply.txt" in names


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the wheel's content, to be put first on the path."""
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def run(installed, empty, *arguments):
    """`python -m medical_rl.main` from the wheel's content: PYTHONPATH comes before the checkout's editable install."""
    environment = os.environ | {"PYTHONPATH": str(installed)}
    where = subprocess.run(
        [sys.executable, "-c", "import medical_rl; print(medical_rl.__file__)"],
        cwd=empty,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert where.stdout.startswith(str(installed)), where.stdout
    return subprocess.run(
        [sys.executable, "-m", "medical_rl.main", *arguments],
        cwd=empty,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )


def test_the_wheel_composes_in_an_empty_folder(installed, tmp_path):
    done = run(installed, tmp_path, "conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    assert "recipe: vrft_aug" in done.stdout


def test_the_wheel_finds_its_readers(installed, tmp_path):
    done = run(
        installed,
        tmp_path,
        "conf=vrft_aug",
        "conf/scale=tiny",
        "conf/engine=cpu",
        "conf/data=retinamnist",
        f"conf.data.source={tmp_path}/no.npz",
        "conf.dry_run=true",
    )
    assert done.returncode == 2 and "no.npz" in done.stderr, done.stderr
