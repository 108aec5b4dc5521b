"""DICOM series: sorted by position, told apart, refused where they do not make a volume, and answered with a DICOM SEG."""

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from resunet.catalogue import FLAGSHIP
from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.inference import predict_volumes
from resunet.inference.triage import triage_slice
from resunet.reading.formats.segmentation import write_segmentation
from resunet.reading.formats.series import find_series
from resunet.reading.readers import read_dicom_series, read_scan

FLAIR = next(sample for sample in load_samples() if sample.name == "large_1").image[..., 1].astype(np.uint16)
AXIAL = (1, 0, 0, 0, 1, 0)
Command = Callable[..., subprocess.CompletedProcess[str]]


def dataset(pixels: np.ndarray, storage: str, **changes: Any) -> FileDataset:
    """An MR image with what a segmentation of it must repeat."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = storage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    fields = {
        "PatientID": "p",
        "PatientName": "n",
        "PatientBirthDate": "",
        "PatientSex": "",
        "StudyDate": "20200101",
        "StudyTime": "000000",
        "StudyID": "1",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "Modality": "MR",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "Manufacturer": "m",
        "PositionReferenceIndicator": "",
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelData": pixels.astype(np.uint16).tobytes(),
    }
    for name, value in (fields | changes).items():
        setattr(image, name, value)
    return image


def content_of(image: FileDataset) -> bytes:
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def series(
    planes: list[np.ndarray], heights: list[float], orientation: tuple[float, ...] = AXIAL, **changes: Any
) -> dict[str, bytes]:
    """Files of one series by name; the names say nothing of the order."""
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": generate_uid(), "FrameOfReferenceUID": "1.2.4"}
    normal = np.cross(orientation[:3], orientation[3:])
    files = {}
    for number, (plane, height) in enumerate(zip(planes, heights, strict=True)):
        places = {"ImagePositionPatient": [float(value) for value in height * normal], "PixelSpacing": [0.8, 0.9]}
        fields = {**uids, **places, "ImageOrientationPatient": list(orientation), "SliceThickness": 5, **changes}
        files[f"{(number * 5) % 7}.dcm"] = content_of(dataset(plane, MRImageStorage, **fields))
    return files


def ramps(count: int) -> list[np.ndarray]:
    """Slices (20, 24) that know their number, their row and their column."""
    rows, columns = np.mgrid[:20, :24]
    return [1000 * number + 30 * rows + columns for number in range(count)]


def test_slices_are_sorted_by_position_and_lie_where_they_say():
    heights = [20.0, 0.0, 10.0, 5.0, 15.0]
    volume = read_dicom_series(series(ramps(5), heights), "s")
    assert volume.shape == (24, 20, 5) and volume.axes == "LPS" and volume.modality == "MR"
    assert volume.sides == pytest.approx((0.9, 0.8, 5.0))
    assert [int(volume.voxels[0, 0, k, 0]) for k in range(5)] == [1000, 3000, 2000, 4000, 0]
    assert volume.voxels[3, 2, 0, 0] == 1000 + 30 * 2 + 3  # column 3, row 2
    # In LPS millimetres column 3, row 2 of the third slice lies at (2.7, 1.6, 10); RAS turns the first two.
    np.testing.assert_allclose(volume.affine @ [3, 2, 2, 1], [-2.7, -1.6, 10, 1], atol=1e-9)


@pytest.mark.parametrize("orientation", [(0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1), (0.8, 0.6, 0, -0.6, 0.8, 0)])
def test_other_planes_are_turned_to_axial_and_back(orientation: tuple[float, ...]):
    volume = read_dicom_series(series(ramps(4), [0.0, 5.0, 10.0, 15.0], orientation), "s")
    axial = volume.axial()[..., 0]
    assert sorted(axial.shape) == sorted((24, 20, 4)) and np.array_equal(volume.from_axial(axial), volume.voxels[..., 0])
    assert volume.axial_sides is not None and sorted(volume.axial_sides) == pytest.approx([0.8, 0.9, 5.0])


@pytest.mark.parametrize(
    ("heights", "changes", "sentence"),
    [
        ([0.0, 5.0, 5.0], {}, "two slices at the same position"),
        ([0.0, 5.0, 15.0], {}, "lie 5.0 to 10.0 mm apart; one is missing, or the series is uneven"),
        ([0.0, 5.0, 10.0], {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "BitsAllocated": 8}, "cannot be decoded"),
        ([0.0, 5.0, 10.0], {"PixelSpacing": None}, "does not say how large its pixels are"),
    ],
)
def test_what_makes_no_volume_gets_a_sentence(heights: list[float], changes: dict[str, Any], sentence: str):
    with pytest.raises(InputError, match=sentence):
        read_dicom_series(series(ramps(3), heights, **changes), "s")


def test_localisers_and_other_sizes_are_refused():
    both = series(ramps(2), [0.0, 5.0]) | {"x": next(iter(series(ramps(1), [9.0], (0, 1, 0, 0, 0, -1)).values()))}
    with pytest.raises(InputError, match="do not lie in parallel"):
        read_dicom_series(both, "s")
    sizes = series(ramps(2), [0.0, 5.0]) | {"x": next(iter(series([np.zeros((30, 30))], [10.0]).values()))}
    with pytest.raises(InputError, match="differ in size"):
        read_dicom_series(sizes, "s")


def test_series_are_told_apart_and_slices_without_a_place_left_out():
    first, second = series(ramps(3), [0.0, 5.0, 10.0], SeriesDescription="AX FLAIR"), series(ramps(2), [0.0, 5.0])
    files = first | {f"b{name}": content for name, content in second.items()}
    files["unplaced"] = content_of(dataset(ramps(1)[0], MRImageStorage, SeriesInstanceUID="1.9"))
    found = find_series(files)
    assert [(one.description, len(one.files), one.frames) for one in found] == [("AX FLAIR", 3, 1), ("", 2, 1)]


def enhanced(planes: list[np.ndarray], heights: list[float]) -> bytes:
    """One file of many frames, with their places in functional groups."""
    shared, frames = Dataset(), []
    measures, turned = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness, turned.ImageOrientationPatient = [0.8, 0.9], 5, list(AXIAL)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turned]
    for height in heights:
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = [0.0, 0.0, height]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.9", "FrameOfReferenceUID": "1.2.4"}
    groups = {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": frames}
    return content_of(dataset(np.stack(planes), EnhancedMRImageStorage, NumberOfFrames=len(planes), **uids, **groups))


def test_frames_of_one_file_are_sorted_too():
    content = enhanced(ramps(3), [10.0, 0.0, 5.0])
    volume = read_dicom_series({"e.dcm": content}, "e")
    assert [int(volume.voxels[0, 0, k, 0]) for k in range(3)] == [1000, 2000, 0]
    assert volume.sides == pytest.approx((0.9, 0.8, 5.0)) and find_series({"e.dcm": content})[0].frames == 3


@pytest.mark.parametrize("kind", ["many files", "one file"])
def test_a_segmentation_keeps_every_voxel_and_refers_to_its_images(kind: str):
    heights = [10.0, 0.0, 5.0, 15.0]
    files = series(ramps(4), heights) if kind == "many files" else {"e": enhanced(ramps(4), heights)}
    volume = read_dicom_series(files, "s")
    mask = np.zeros(volume.shape, bool)
    mask[3:9, 2:5, 1], mask[4:7, 10:12, 3] = True, True
    result = highdicom.seg.segread(io.BytesIO(write_segmentation(volume, mask, "Mine")))
    assert result.Modality == "SEG" and result.StudyInstanceUID == "1.2.3"
    assert result.get_segment_description(1).SegmentLabel.startswith("Tumour")
    images = [pydicom.dcmread(io.BytesIO(content)) for content in files.values()]
    assert {uid for *_, uid in result.get_source_image_uids()} == {image.SOPInstanceUID for image in images}
    written = result.get_volume(segment_numbers=[1], combine_segments=True)
    placed = np.argwhere(written.array > 0) @ written.affine[:3, :3].T + written.affine[:3, 3]
    ours = np.argwhere(mask) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    ours[:, :2] *= -1  # DICOM's millimetres run to the patient's left and back
    assert sorted(map(tuple, placed.round(3))) == sorted(map(tuple, ours.round(3)))


def test_a_folder_of_a_series_gives_one_segmentation(command: Command, tmp_path: Path):
    folder = tmp_path / "head"
    folder.mkdir()
    shares = (2, 3, 4, 3, 2)
    for name, content in series([FLAIR * share for share in shares], [0.0, 5.0, 10.0, 15.0, 20.0]).items():
        (folder / name).write_bytes(content)
    done = command("predict", folder, "--out", tmp_path / "out")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    line = json.loads(done.stdout)
    assert line["verdict"] == "Tumour found" and len(line["files"]) == 5 and line["slices"] == 5
    assert line["volume_ml"] == pytest.approx(line["tumour_pixels"] * 0.8 * 0.9 * 5 / 1000, abs=1e-3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["head_mask.dcm"]
    result = highdicom.seg.segread(tmp_path / "out" / "head_mask.dcm")
    assert int((result.get_volume(segment_numbers=[1], combine_segments=True).array > 0).sum()) == line["tumour_pixels"]
    image = SimpleITK.ReadImage(str(tmp_path / "out" / "head_mask.dcm"))
    assert int((SimpleITK.GetArrayFromImage(image) > 0).sum()) == line["tumour_pixels"]
    assert image.GetSpacing() == pytest.approx((0.9, 0.8, 5.0)) and image.GetSize()[2] == 5


def test_series_of_two_studies_are_named_by_their_descriptions_and_ct_is_refused(command: Command, tmp_path: Path):
    folder = tmp_path / "head"
    folder.mkdir()
    for words, modality in (("AX FLAIR", "MR"), ("AX / HEAD", "CT")):
        planes = [FLAIR * share for share in (3, 4, 3)]
        files = series(planes, [0.0, 5.0, 10.0], SeriesDescription=words, Modality=modality, StudyInstanceUID=f"1.{len(words)}")
        for name, content in files.items():
            (folder / f"{modality}{name}").write_bytes(content)
    done = command("predict", folder, "--out", tmp_path / "out")
    assert done.returncode == 2
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert "is a CT, as the file says; the models were trained on MRI" in first["error"]
    assert second["verdict"] == "Tumour found"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["head_AX_FLAIR_mask.dcm"]


def test_rounded_positions_are_even_and_a_gap_is_not():
    true_step = 3.3
    rounded = [float(round(number * true_step)) for number in range(5)]  # 0, 3, 7, 10, 13
    volume = read_dicom_series(series(ramps(5), rounded), "s")
    assert volume.sides == pytest.approx((0.9, 0.8, 3.25))
    assert volume.notes == ("Positions are rounded to 1 mm; slices are taken to lie 3.25 mm apart.",)
    for missing in ([0.0, 3.0, 10.0, 13.0], [0.0, 3.3, 9.9, 13.2]):
        with pytest.raises(InputError, match="one is missing"):
            read_dicom_series(series(ramps(4), missing), "s")
    with pytest.raises(InputError, match=r"3\.0 to 4\.2 mm apart"):  # uneven, and not by rounding
        read_dicom_series(series(ramps(4), [0.0, 3.0, 7.2, 10.4]), "s")


def test_copies_of_a_slice_are_left_out_and_others_at_its_place_refused():
    planes = ramps(3)
    twice = series([*planes, planes[1]], [0.0, 5.0, 10.0, 5.0])
    volume = read_dicom_series(twice, "s")
    assert volume.shape[2] == 3 and volume.notes == ("1 of 4 slices were copies of others and were left out.",)
    with pytest.raises(InputError, match="two slices at the same position"):
        read_dicom_series(series([*planes, planes[1] + 1], [0.0, 5.0, 10.0, 5.0]), "s")


def test_a_mosaic_is_refused_but_not_frames_that_call_themselves_one():
    tiled = series(ramps(1), [0.0], ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    with pytest.raises(InputError, match="is a mosaic: many slices tiled in one picture"):
        read_scan(next(iter(tiled.values())), "a.dcm")
    frames = pydicom.dcmread(io.BytesIO(enhanced(ramps(3), [0.0, 5.0, 10.0])))
    frames.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    assert read_dicom_series({"e": content_of(frames)}, "s").shape[2] == 3


@pytest.mark.parametrize(
    ("orientation", "plane"), [(AXIAL, "axial"), ((0, 1, 0, 0, 0, -1), "sagittal"), ((1, 0, 0, 0, 0, -1), "coronal")]
)
def test_a_slice_says_its_plane_and_the_models_know_the_axial_one(orientation: tuple[float, ...], plane: str):
    content = next(iter(series([FLAIR], [0.0], orientation).values()))
    scan = read_scan(content, "a.dcm")
    assert scan.plane == plane
    found = triage_slice(scan.slices[0], "flair", scan.plane)
    assert found.model == (FLAGSHIP if plane == "axial" else "")
    assert plane == "axial" or f"FLAIR in the {plane} plane" in found.reason


def without(files: dict[str, bytes], element: str) -> dict[str, bytes]:
    changed = {}
    for name, content in files.items():
        image = pydicom.dcmread(io.BytesIO(content))
        delattr(image, element)
        changed[name] = content_of(image)
    return changed


@pytest.mark.parametrize(
    "element",
    [
        *("StudyID", "AccessionNumber", "StudyDate", "StudyTime", "PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
        *("ReferringPhysicianName", "PositionReferenceIndicator", "FrameOfReferenceUID", "StudyInstanceUID"),
        *("SeriesInstanceUID", "SOPInstanceUID", "ImagePositionPatient"),
    ],
)
def test_what_anonymisers_take_out_costs_no_segmentation(element: str, capfd: pytest.CaptureFixture[str]):
    heights = [0.0, 5.0, 10.0]
    files = series(ramps(3), heights)
    for name in files:
        image = pydicom.dcmread(io.BytesIO(files[name]))
        image.SliceLocation = image.ImagePositionPatient[2]
        files[name] = content_of(image)
    files = without(files, element)
    (found,) = find_series(files)
    assert set(found.files) == set(files)
    volume = read_dicom_series(files, "s")
    assert bool(volume.notes) == (element in ("SeriesInstanceUID", "ImagePositionPatient"))
    mask = np.zeros(volume.shape, bool)
    mask[3:9, 2:5, 1] = True
    result = highdicom.seg.segread(io.BytesIO(write_segmentation(volume, mask, "Mine")))
    assert int((result.get_volume(segment_numbers=[1], combine_segments=True).array > 0).sum()) == mask.sum()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("element", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"])
@pytest.mark.parametrize("malformed", ["1.2." + "9" * 70, "case-7"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_malformed_identifiers_cost_no_segmentation(element: str, malformed: str, capfd: pytest.CaptureFixture[str]):
    files = series(ramps(3), [0.0, 5.0, 10.0])
    for number, name in enumerate(files):
        image = pydicom.dcmread(io.BytesIO(files[name]))
        setattr(image, element, f"{malformed}{number if element == 'SOPInstanceUID' else ''}")
        files[name] = content_of(image)
    capfd.readouterr()
    volume = read_dicom_series(files, "s")
    mask = np.zeros(volume.shape, bool)
    mask[3:9, 2:5, 1] = True
    result = highdicom.seg.segread(io.BytesIO(write_segmentation(volume, mask, "Mine")))
    assert int((result.get_volume(segment_numbers=[1], combine_segments=True).array > 0).sum()) == mask.sum()
    assert capfd.readouterr().err == ""


def test_a_mask_that_can_be_no_segmentation_is_nifti(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments: object) -> bytes:
        raise InputError("The headers of head do not allow for a DICOM segmentation; take the mask as NIfTI.")

    monkeypatch.setattr(predict_volumes, "write_segmentation", refuse)
    folder = tmp_path / "head"
    folder.mkdir()
    for name, content in series([FLAIR * share for share in (2, 3, 4)], [0.0, 5.0, 10.0]).items():
        (folder / name).write_bytes(content)
    line = json.loads(command("predict", folder, "--out", tmp_path / "out").stdout)
    assert line["notes"][-1].endswith("take the mask as NIfTI. The mask is head_mask.nii.gz.")
    mask = nibabel.load(tmp_path / "out" / "head_mask.nii.gz")
    assert int(np.asarray(mask.dataobj).sum()) == line["tumour_pixels"]


@pytest.mark.parametrize(("sequence", "label"), [("flair", "Tumour (FLAIR abnormality)"), ("post", "Tumour"), ("", "Tumour")])
def test_a_segmentation_is_labelled_by_what_was_outlined(sequence: str, label: str):
    volume = read_dicom_series(series(ramps(3), [0.0, 5.0, 10.0]), "s")
    content = write_segmentation(volume, np.ones(volume.shape, bool), "Mine", sequence)
    result = pydicom.dcmread(io.BytesIO(content))
    assert (result.SegmentSequence[0].SegmentLabel, result.SeriesDescription) == (label, f"{label}, Mine")


def test_a_segmentation_lies_where_positions_say_not_where_the_gap_does():
    files = series(ramps(5), [6.5 * number for number in range(5)], SpacingBetweenSlices=1.5)
    volume = read_dicom_series(files, "s")
    mask = np.zeros(volume.shape, bool)
    mask[3:9, 2:5] = True
    content = write_segmentation(volume, mask, "Mine")
    shared = pydicom.dcmread(io.BytesIO(content)).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(shared.SpacingBetweenSlices) == 6.5 and [float(side) for side in shared.PixelSpacing] == [0.8, 0.9]
    written = highdicom.seg.segread(io.BytesIO(content)).get_volume(segment_numbers=[1], combine_segments=True)
    assert written.spatial_shape == (5, 20, 24) and written.spacing == pytest.approx((6.5, 0.8, 0.9))


def test_a_segmentation_of_nothing_has_all_frames_and_says_nothing(capfd: pytest.CaptureFixture[str]):
    volume = read_dicom_series(series(ramps(3), [0.0, 5.0, 10.0]), "s")
    result = pydicom.dcmread(io.BytesIO(write_segmentation(volume, np.zeros(volume.shape, bool), "Mine")))
    assert result.NumberOfFrames == 3 and not result.pixel_array.any() and capfd.readouterr().err == ""
