"""Which files are one patient's, and which sequence each is."""

import io
import random
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resunet.errors import InputError
from resunet.examination import find_sources, sort_examinations
from resunet.inference.predict_files import image_files
from resunet.reading.sequences import read_name, sequence_of_header
from resunet.reading.stored_file import StoredFile
from tests.test_series import series


@pytest.mark.parametrize(
    ("name", "case", "sequence"),
    [
        ("pat0001_flair.nii.gz", "pat0001", "flair"),
        ("BraTS-GLI-00001-000-t2f.nii.gz", "BraTS-GLI-00001-000", "flair"),
        ("BraTS-GLI-00001-000-t1n.nii.gz", "BraTS-GLI-00001-000", "pre"),
        ("BraTS-GLI-00001-000-t1c.nii.gz", "BraTS-GLI-00001-000", "post"),
        ("BraTS-GLI-00001-000-t2w.nii.gz", "BraTS-GLI-00001-000", "t2"),
        ("TCGA-02-0003_1996.08.23_t1Gd.nii", "TCGA-02-0003_1996.08.23", "post"),
        ("sub-01_ses-01_ce-gadolinium_T1w.nii.gz", "sub-01_ses-01", "post"),
        ("sub-01_ses-01_acq-3D_FLAIR.nii.gz", "sub-01_ses-01", "flair"),
        ("sub-01_T2w.nii.gz", "sub-01", "t2"),
        ("FLAIR.nii.gz", "", "flair"),
        ("T1GD.nii.gz", "", "post"),
        ("T1gad_patient7.nii.gz", "patient7", "post"),
        ("7_AX_T1_POST.nii.gz", "7", "post"),
        ("patient7_fla.nii.gz", "patient7", "flair"),
        ("AX T2 FLAIR.nii.gz", "", "flair"),
        ("t2_tirm_tra_dark-fluid.nii", "", "flair"),
        ("AX_T1_FLAIR.nii", "", "pre"),
        ("T1+C.nii", "", "post"),
        ("c_t1.nii.gz", "c", "pre"),
        ("data_post_op_flair.nii", "data_post_op", "flair"),
        ("UCSF-PDGM-0004_brain_segmentation.nii.gz", "UCSF-PDGM-0004", "other"),
        ("head.nii", "head", None),
        ("pre_op_3.nii", "pre_op_3", None),
        ("B_segm.nii.gz", "B_segm", None),
    ],
)
def test_a_name_says_case_and_sequence(name: str, case: str, sequence: str | None):
    reading = read_name(name)
    assert (reading.case, reading.sequence, reading.is_mask) == (case, sequence, False)


@pytest.mark.parametrize("name", ["a_seg.nii", "a-mask.nii", "a_flair_mask.nii", "a_label.nii"])
def test_a_name_says_that_it_is_a_mask(name: str):
    assert read_name(name).is_mask and read_name(name).case == "a"


@pytest.mark.parametrize(
    ("header", "sequence"),
    [
        ({"SeriesDescription": "AX T2 FLAIR"}, "flair"),
        ({"SeriesDescription": "t1_mpr_sag", "ContrastBolusAgent": "Gadovist"}, "post"),
        ({"SeriesDescription": "T1 SE"}, "pre"),
        ({"SeriesDescription": "AX T2 TSE"}, "t2"),
        ({"SeriesDescription": "ep2d DWI"}, "other"),
        ({"SeriesDescription": "Series 4", "EchoTime": "120", "InversionTime": "2500"}, "flair"),
        ({"SeriesDescription": "", "EchoTime": "90"}, "t2"),
        ({"SeriesDescription": "Series 4", "EchoTime": "9", "RepetitionTime": "500"}, "pre"),
        ({"SeriesDescription": "Series 4"}, None),
    ],
)
def test_a_header_says_which_sequence(header: dict[str, str], sequence: str | None):
    dataset = pydicom.Dataset()
    for element, value in header.items():
        setattr(dataset, element, value)
    assert sequence_of_header(dataset) == sequence


def sorted_names(*names: str, **contents: bytes) -> dict[str, tuple[dict[str, str], str | None, bool]]:
    """By examination: the file of each sequence, that of the truth, and whether there is a problem."""
    files = [StoredFile.in_memory(name, contents.get(name, b"x")) for name in names]
    return {
        one.name: (
            {role: source.files[0].name for role, source in one.sequences.items()} if not one.problem else {},
            one.truth.files[0].name if one.truth else None,
            bool(one.problem),
        )
        for one in sort_examinations(files)
    }


def test_files_of_one_case_are_taken_together():
    brats = [f"p1/p1_{ending}.nii.gz" for ending in ("flair", "t1", "t1ce", "t2", "seg")]
    expected = {"p1": ({"pre": brats[1], "flair": brats[0], "post": brats[2]}, brats[4], False)}
    assert sorted_names(*brats) == expected
    assert sorted_names("a.nii.gz", "a_mask.nii.gz") == {"a": ({"flair": "a.nii.gz"}, "a_mask.nii.gz", False)}
    in_folders = "d/imagesTr/a_0000.nii.gz", "d/labelsTr/a.nii.gz"
    assert sorted_names(*in_folders) == {"a": ({"flair": in_folders[0]}, in_folders[1], False)}
    egd = "EGD-1/FLAIR.nii.gz", "EGD-1/MASK.nii.gz", "EGD-1/T1.nii.gz"
    assert sorted_names(*egd) == {"EGD-1": ({"pre": egd[2], "flair": egd[0]}, egd[1], False)}
    export = "p/3_AX_T1.nii", "p/5_AX_T2_FLAIR.nii", "p/9_T1_POST.nii"
    assert sorted_names(*export) == {"p": ({"pre": export[0], "flair": export[1], "post": export[2]}, None, False)}
    folders = "p/T1/image.nii", "p/FLAIR/image.nii"
    assert sorted_names(*folders) == {"p": ({"pre": folders[0], "flair": folders[1]}, None, False)}


def test_a_single_file_keeps_its_name():
    assert list(sorted_names("x/b_flair.nii.gz", "x/head.nii", "x/d.png")) == ["b_flair", "head", "d"]


def test_equal_names_in_two_folders_are_two_patients():
    folders = ("P/s1", "P/s2", "Q/s1", "Q/s2")
    names = [f"{folder}/x_{what}.nii.gz" for folder in folders for what in ("flair", "seg")]
    assert list(sorted_names(*names)) == [f"{folder}/x" for folder in folders]
    assert list(sorted_names("A/s1/anat/flair.nii.gz", "B/s1/anat/flair.nii.gz")) == ["A/s1/anat/flair", "B/s1/anat/flair"]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("a_t1.nii", "a_t2.nii"), "None of a_t1.nii, a_t2.nii is the FLAIR"),
        (("a.nii", "a_flair.nii", "a_t1.nii"), "a.nii and a_flair.nii are both the FLAIR of a"),
        (("a_0000.nii", "a_0001.nii"), "a_0000.nii, a_0001.nii are channels of one case"),
        (("a_seg.nii",), "a_seg.nii is a mask by its name"),
    ],
)
def test_what_does_not_say_enough_gets_one_sentence_and_no_verdict(names: tuple[str, ...], sentence: str):
    (examination,) = sort_examinations([StoredFile.in_memory(name, b"x") for name in names])
    assert examination.problem.startswith(sentence)
    with pytest.raises(InputError, match="^" + sentence.split(",")[0].replace(".", r"\.")):
        examination.volume()


def test_the_data_set_says_what_nnunets_numbers_mean():
    content = b'{"channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}}'
    names = [f"imagesTr/a_000{number}.nii" for number in range(4)]
    cases = sorted_names("dataset.json", *names, **{"dataset.json": content})
    assert cases == {"a": ({"pre": names[0], "flair": names[3], "post": names[1]}, None, False)}


# The files' names of FLAIR, T1 before and after contrast, T2 and the mask.
CONVENTIONS = {
    "BraTS": ("{case}/{case}", "_flair.nii.gz", "_t1.nii.gz", "_t1ce.nii.gz", "_t2.nii.gz", "_seg.nii.gz"),
    "BraTS 2023": ("{case}", "-t2f.nii.gz", "-t1n.nii.gz", "-t1c.nii.gz", "-t2w.nii.gz", "-seg.nii.gz"),
    "BIDS": ("sub-{case}/anat/sub-{case}", "_FLAIR.nii", "_T1w.nii", "_ce-gd_T1w.nii", "_T2w.nii", "_mask.nii"),
    "EGD": ("{case}/", "FLAIR.nii.gz", "T1.nii.gz", "T1GD.nii.gz", "T2.nii.gz", "MASK.nii.gz"),
    "export": ("{case}/", "fla.nii", "T1_SE.nii", "T1_POST.nii", "T2_TSE.nii", "mask.nii"),
    "UCSF": ("{case}/{case}", "_FLAIR_bias.nii", "_T1_bias.nii", "_T1c_bias.nii", "_T2_bias.nii", "_tumor_segmentation.nii"),
    "sequence first": ("", "FLAIR_{case}.nii", "T1_{case}.nii", "T1gad_{case}.nii", "T2_{case}.nii", "mask_{case}.nii"),
}
SEQUENCES = ("flair", "pre", "post", "t2", "mask")


@settings(max_examples=2000, deadline=None)
@given(
    convention=st.sampled_from(sorted(CONVENTIONS)),
    above=st.lists(st.sampled_from(["data", "2020-01-01", "study", "A"]), max_size=3),
    cases=st.lists(st.integers(100, 999), min_size=1, max_size=4, unique=True),
    present=st.sets(st.sampled_from(SEQUENCES[1:])),
    capitals=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_any_order_nesting_and_renaming_gives_the_same_cases(
    convention: str, above: list[str], cases: list[int], present: set[str], capitals: bool, seed: int
):
    expected, names = [], []
    start, *endings = CONVENTIONS[convention]
    for case in cases:
        files = {
            what: PurePosixPath(*above, (start + ending).format(case=f"pat{case}"))
            for what, ending in zip(SEQUENCES, endings, strict=True)
            if what == "flair" or what in present
        }
        if capitals and convention != "BIDS":
            files = {what: path.with_name(path.name.upper()) for what, path in files.items()}
        names += map(str, files.values())
        expected.append({what: str(path) for what, path in files.items() if what != "t2"})
    random.Random(seed).shuffle(names)
    examinations = sort_examinations([StoredFile.in_memory(name, b"x") for name in names])
    found = [
        {role: source.files[0].name for role, source in one.sequences.items()}
        | ({"mask": one.truth.files[0].name} if one.truth else {})
        for one in examinations
    ]
    assert sorted(found, key=lambda one: one["flair"]) == sorted(expected, key=lambda one: one["flair"])
    assert not any(one.problem for one in examinations) and len({one.name for one in examinations}) == len(cases)


def study(**descriptions: int) -> dict[str, bytes]:
    """DICOM series of one study, by name and number of slices."""
    plane = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    files = {}
    for description, slices in descriptions.items():
        places = [5.0 * number for number in range(slices)]
        made = series([plane] * slices, places, SeriesDescription=description, StudyInstanceUID="1.2.3")
        files |= {f"{description}_{name}": content for name, content in made.items()}
    return files


def stored(contents: dict[str, bytes], folder: str = "") -> list[StoredFile]:
    return [StoredFile.in_memory(folder + name, content) for name, content in contents.items()]


def test_the_series_of_a_study_are_one_case():
    (examination,) = sort_examinations(stored(study(T2=4, FLAIR=4, T1=4, T1_POST=4), "study/"))
    assert {role: source.description for role, source in examination.sequences.items()} == {
        "flair": "FLAIR",
        "pre": "T1",
        "post": "T1_POST",
    }
    assert examination.name == "study" and examination.notes == ("Left out, since they are no channels of the networks: T2.",)
    assert examination.volume().voxels.shape == (64, 64, 4, 3)


def test_a_series_spread_over_folders_is_one_and_copies_of_it_are_two():
    files = study(FLAIR=6)
    halves = list(files.items())[:3], list(files.items())[3:]
    spread = {f"cd/DIR{number}/IM{at}": each[1] for number, half in enumerate(halves) for at, each in enumerate(half)}
    (one,) = sort_examinations(stored(spread))
    assert one.name == "cd" and one.volume().voxels.shape == (64, 64, 6, 3)
    copies = {f"{folder}/{name}": content for folder in ("a", "b") for name, content in files.items()}
    assert [examination.volume().voxels.shape[2] for examination in sort_examinations(stored(copies))] == [6, 6]


def test_a_study_without_flair_gets_no_verdict_but_silent_series_do():
    (examination,) = sort_examinations(stored(study(T2=4, T1=4)))
    assert examination.problem.startswith("None of T2, T1 is the FLAIR")
    silent = sort_examinations(stored(study(Series_a=3, Series_b=3), "s/"))
    assert [one.name for one in silent] == ["s_Series_a", "s_Series_b"] and not any(one.problem for one in silent)


def test_numbered_slices_belong_together_in_a_folder_of_their_name():
    names = ["p/p_10.tif", "p/p_2.tif", "q/r_1.png", "q/plan.tif"]
    examinations = sort_examinations([StoredFile.in_memory(name, b"x" * 200) for name in names])
    assert [[file.name for file in one.files] for one in examinations] == [
        ["p/p_2.tif", "p/p_10.tif"],
        ["q/r_1.png"],
        ["q/plan.tif"],
    ]
    dropped = [StoredFile.in_memory(name, b"x" * 200) for name in ("p_2.tif", "p_1.tif", "p_1_mask.tif")]
    assert [[file.name for file in source.files] for source in find_sources(dropped, one_patient=True)] == [
        ["p_1.tif", "p_2.tif"]
    ]


def test_a_patients_disc_is_read_below_what_lies_on_top(tmp_path: Path):
    files = study(FLAIR=3)
    (tmp_path / "DICOM" / "PAT0").mkdir(parents=True)
    for number, content in enumerate(files.values()):
        (tmp_path / "DICOM" / "PAT0" / f"IM{number}").write_bytes(content)
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "LICENSE").write_text("MIT")
    (examination,) = sort_examinations(image_files([tmp_path]))
    assert examination.name == "PAT0" and len(examination.files) == 3
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in tmp_path.rglob("*"):
            if file.is_file():
                archive.write(file, file.relative_to(tmp_path))
    (tmp_path / "cd.zip").write_bytes(packed.getvalue())
    (examination,) = sort_examinations(image_files([tmp_path / "cd.zip"]))
    assert examination.name == "PAT0" and len(examination.files) == 3
