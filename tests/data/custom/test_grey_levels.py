"""DICOM and 16-bit images of a user's own: which grey levels are kept, and what the card says of it."""

import io

import numpy as np
import pytest
from PIL import Image

from medical_rl.data.rows import Drops
from medical_rl.data.sources import files, grey_levels
from medical_rl.data.sources.grey_levels import eight_bits
from medical_rl.errors import UserError

# Stored values 0, 100, 200, ...: H x W = 2 x 4
STORED = np.arange(8, dtype=np.uint16).reshape(2, 4) * 100


@pytest.fixture
def dicom():
    """A function that makes a DICOM file of STORED, with changes of its header; None takes an entry out."""
    pydicom = pytest.importorskip("pydicom")

    def make(pixels=STORED, **changes):
        file = pydicom.Dataset()
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
        meta.MediaStorageSOPInstanceUID = "1.2.3"
        file.file_meta = meta
        header = {
            "SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": "1.2.3", "PatientName": "Miller^Anna",
            "Rows": pixels.shape[-2], "Columns": pixels.shape[-1], "SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 12,
            "HighBit": 11, "PixelRepresentation": 0, "PhotometricInterpretation": "MONOCHROME2", "RescaleSlope": 1,
            "RescaleIntercept": -100, "WindowCenter": [200.5, 40], "WindowWidth": [401, 400],
        }  # fmt: skip
        for name, value in (header | changes).items():
            if value is not None:
                setattr(file, name, value)
        file.PixelData = pixels.astype("<u2").tobytes()
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, file, enforce_file_format=True)
        return buffer.getvalue()

    return make


def grey(data):
    return np.asarray(Image.open(io.BytesIO(data))).tolist()


def test_a_dicom_file_is_read_by_its_own_first_window_after_its_rescaling(dicom):
    png, what = eight_bits(dicom(), None)
    # rescaled -100, 0, ..., 600; the window 200.5 +- 200 is 0 to 400: 0, 100, ... are 0, 63.75, 127.5, 191.25, 255
    assert grey(png) == [[0, 0, 64, 128], [191, 255, 255, 255]]
    assert what == ("put into 8 bits by the window of the DICOM file",) and b"Miller" not in png


def test_monochrome1_is_white_where_its_numbers_are_low(dicom):
    png, _ = eight_bits(dicom(PhotometricInterpretation="MONOCHROME1"), "window")
    assert grey(png) == [[255, 255, 191, 128], [64, 0, 0, 0]]


def test_levels_may_be_two_numbers_or_percentiles(dicom):
    png, what = eight_bits(dicom(), grey_levels.read_levels("-100,600"))
    assert grey(png)[0] == [0, 36, 73, 109] and what == ("put into 8 bits from -100 to 600",)
    png, what = eight_bits(dicom(), "percentile")
    assert grey(png)[0][0] == 0 and grey(png)[1][3] == 255 and "percentiles 0.5 and 99.5" in what[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"WindowCenter": None}, "no window: grey_levels=percentile"),
        ({"NumberOfFrames": 2, "Rows": 1}, "several frames"),
    ],
)
def test_a_dicom_file_that_leaves_a_choice_is_refused_with_what_to_choose(dicom, changes, reason):
    with pytest.raises(UserError, match=reason):
        eight_bits(dicom(**changes), "window")


def test_a_broken_dicom_file_is_a_drop_and_no_traceback(dicom, tmp_path):
    drops = Drops()
    assert files.checked_image(dicom()[:400], "row 1", drops) is None
    assert files.checked_image(b"\0" * 128 + b"DICM" + b"rubbish" * 9, "row 2", drops) is None
    assert drops.summary()["its image cannot be decoded"]["rows"] == 2


def test_without_pydicom_the_run_says_what_to_install(dicom, monkeypatch):
    import sys

    data = dicom()
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UserError, match=r"medical-rl\[dicom\]"):
        files.checked_image(data, "row 1", Drops())


@pytest.mark.parametrize("levels", ["lung", "5,1", [1], None, "1,2,3"])
def test_levels_that_are_none_are_refused(levels):
    with pytest.raises(UserError, match="window .* percentile .* two numbers"):
        grey_levels.read_levels(levels)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_a_16_bit_image_needs_a_choice_and_the_card_tells_it(table, rows, custom, format, tmp_path):
    path = table(rows())
    buffer = io.BytesIO()
    Image.fromarray(STORED.repeat(20, axis=0).repeat(20, axis=1)).save(buffer, format=format)
    (path.parent / "scans/ü 4.png").write_bytes(buffer.getvalue())
    drops = Drops()
    for split in custom.SPLITS:
        list(custom.rows(path, split, drops=drops))
    (told,) = drops.summary()["its image cannot be decoded"]["examples"]
    assert "grey_levels=percentile" in told and "ü 4.png" in told
    drops = Drops()
    samples = [
        s for split in custom.SPLITS for s in custom.rows(path, split, drops=drops, grey_levels="percentile")
    ]
    assert len(samples) == 20 and not drops.summary()
    assert [entry["rows"] for entry in drops.settled().values()] == [1]


def test_a_folder_of_dicom_files_is_class_folders_too(dicom, tmp_path, custom):
    for i in range(20):
        path = tmp_path / "set" / "ab"[i % 2] / f"{i}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dicom(STORED + i))
    samples = [s for split in custom.SPLITS for s in custom.rows(tmp_path / "set", split, question="Which?")]
    assert len(samples) == 20 and samples[0].size == (2, 4)


def test_the_card_and_the_command_say_how_many_images_were_scaled_and_how(dicom, tmp_path, custom, capsys):
    for i in range(20):
        path = tmp_path / "set" / "ab"[i % 2] / f"{i}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dicom(STORED + i))
    out = tmp_path / "out"
    options = ["--source", str(tmp_path / "set"), "--out", str(out), "--question", "Which?"]
    assert custom.main([*options, "--grey-levels=-100,600"]) == 0
    told = "20 images were put into 8 bits from -100 to 600"
    assert told in capsys.readouterr().out and told in (out / "README.md").read_text()
    assert custom.main([*options, "--grey-levels", "lung"]) == 2
    assert "is none of window (the file's own)" in capsys.readouterr().err
