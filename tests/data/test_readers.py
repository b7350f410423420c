import subprocess
import sys
from pathlib import Path

import pytest

from medical_rl.data.prepare import readers
from medical_rl.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def python(code, **options):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, **options)


def test_a_reader_is_loaded_once_and_is_not_the_published_package():
    module = readers.load_reader("medmnist")
    assert module is readers.load_reader("medmnist")
    assert Path(module.__file__).resolve() == ROOT / "data_preprocess/medmnist.py"
    assert readers.split_names(module) == ("train", "val", "test")


def test_every_reader_has_rows_and_describe():
    for name in readers.READERS:
        module = readers.load_reader(name)
        assert callable(module.rows) and callable(module.describe)


def test_an_unknown_reader_is_named_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'phantoms'"):
        readers.load_reader("phantom")


def test_a_module_that_fails_to_load_is_not_remembered(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("raise RuntimeError('no')")
    monkeypatch.setitem(readers.READERS, "broken", "broken")
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            readers.load_reader("broken")


def test_a_mistyped_parameter_is_named():
    module = readers.load_reader("medmnist")
    readers.check_params(module, "medmnist", {"flag": "octmnist", "allow_altered": True})
    with pytest.raises(UserError, match="'allow_alterd'. Did you mean 'allow_altered'"):
        readers.check_params(module, "medmnist", {"allow_alterd": True})


def test_importing_the_package_loads_nothing_heavy():
    heavy = "{'torch', 'numpy', 'pyarrow', 'PIL', 'jinja2', 'verl', 'ray'}"
    done = python(f"import sys, medical_rl.data; print(sorted({heavy} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stderr


def test_preparing_loads_no_torch_and_leaves_no_folder_at_home(tmp_path):
    code = (
        "import sys; from medical_rl.data.prepare import command, readers; "
        "readers.load_reader('medmnist').official(); "
        "print(sorted({'torch', 'medmnist', 'verl', 'ray', 'transformers'} & set(sys.modules)))"
    )
    done = python(code, env={"HOME": str(tmp_path), "PATH": ""})
    assert done.stdout.strip() == "[]", done.stderr
    assert list(tmp_path.iterdir()) == []
