import gzip
import io
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
from PIL import Image

from resunet.errors import InputError
from resunet.reading.formats.nifti import NO_UNIT, SHEARED, THREE_VOLUMES, UNORIENTED
from resunet.reading.formats.pixels import DRAWN_IN_OPACITY, TRANSPARENT
from resunet.reading.readers import read_mask, read_scan, read_volume
from resunet.reading.scan import NO_SPACING, ONE_CHANNEL
from tests.hostile import BAD, RGB, SAMPLE, dicom, nifti, npy, picture

GREY = Image.fromarray(SAMPLE.image[..., 1])
DEEP = SAMPLE.image[..., 1].astype(np.uint16) * 257


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_sentence(name: str, tmp_path: Path):
    build, expected = BAD[name]
    content = build()
    with pytest.raises(InputError, match=expected) as told:
        read_scan(content, name)
    sentence = str(told.value)
    assert sentence.startswith(name)
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 250
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected):
        read_scan(path)


def test_missing_file_and_folder_are_named(tmp_path: Path):
    with pytest.raises(InputError, match="gone.png does not exist"):
        read_scan(tmp_path / "gone.png")
    with pytest.raises(InputError, match="is a folder"):
        read_scan(tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_lossless_pictures_come_back_pixel_for_pixel(kind: str):
    scan = read_scan(picture(RGB, kind))
    np.testing.assert_array_equal(scan.slices[0], SAMPLE.image)
    assert scan.notes == () and scan.spacing is None


def test_jpeg_comes_back_nearly():
    scan = read_scan(picture(RGB, "JPEG", quality=95, subsampling=0))
    assert np.abs(scan.slices[0].astype(int) - SAMPLE.image).mean() < 4


def test_one_channel_is_used_for_three_and_says_so():
    scan = read_scan(picture(GREY, "PNG"))
    assert scan.notes == (ONE_CHANNEL,)
    for channel in range(3):
        np.testing.assert_array_equal(scan.slices[0, ..., channel], SAMPLE.image[..., 1])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_depth(kind: str):
    scan = read_scan(picture(Image.fromarray(DEEP), kind))
    assert scan.slices.max() == DEEP.max() > 255
    np.testing.assert_array_equal(scan.slices[0, ..., 0], DEEP)


def test_sixteen_bit_colour_is_read():
    deep = SAMPLE.image.astype(np.uint16) * 257
    for ending in (".tif", ".png"):
        encoded = cv2.imencode(ending, deep[..., ::-1])[1].tobytes()
        np.testing.assert_array_equal(read_scan(encoded).slices[0], deep)


def test_pages_of_a_tiff_are_slices():
    stream = io.BytesIO()
    RGB.save(stream, "TIFF", save_all=True, append_images=[RGB.rotate(180), RGB])
    scan = read_scan(stream.getvalue())
    assert scan.slices.shape == (3, 256, 256, 3)
    np.testing.assert_array_equal(scan.slices[1], SAMPLE.image[::-1, ::-1])


def test_pages_of_different_size_are_refused():
    stream = io.BytesIO()
    RGB.save(stream, "TIFF", save_all=True, append_images=[RGB.resize((64, 64))])
    with pytest.raises(InputError, match="pages of different sizes"):
        read_scan(stream.getvalue())


def test_transparency_counts_as_black_and_palettes_are_expanded():
    scan = read_scan(picture(RGB.convert("RGBA"), "PNG"))
    np.testing.assert_array_equal(scan.slices[0], SAMPLE.image)
    assert scan.notes == ()
    half_hidden = np.dstack((SAMPLE.image, np.full((256, 256), 255, np.uint8)))
    half_hidden[:128, :, 3] = 0
    scan = read_scan(picture(Image.fromarray(half_hidden), "PNG"))
    assert not scan.slices[0, :128].any() and scan.notes == (TRANSPARENT,)
    np.testing.assert_array_equal(scan.slices[0, 128:], SAMPLE.image[128:])
    palette = read_scan(picture(GREY.convert("P"), "PNG"))
    assert palette.slices.shape == (1, 256, 256, 3) and "palette" in palette.notes[0]


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (SAMPLE.image, (1, 256, 256, 3)),
        (SAMPLE.image[..., 1], (1, 256, 256, 3)),
        (SAMPLE.image.transpose(2, 0, 1), (1, 256, 256, 3)),
        (SAMPLE.image[None].repeat(4, axis=0), (4, 256, 256, 3)),
        (SAMPLE.image[None, ..., 1].repeat(5, axis=0), (5, 256, 256, 3)),
        (SAMPLE.image.astype(np.float64) / 255, (1, 256, 256, 3)),
        (SAMPLE.image[..., :1] > 50, (1, 256, 256, 3)),
    ],
)
def test_numpy_shapes(array: np.ndarray, shape: tuple[int, ...]):
    assert read_scan(npy(array)).slices.shape == shape


def test_dicom_brings_pixels_spacing_and_frames():
    scan = read_scan(dicom(DEEP, PixelSpacing=[0.5, 0.75]))
    np.testing.assert_array_equal(scan.slices[0, ..., 0], DEEP)
    assert scan.spacing == (0.5, 0.75)
    assert read_scan(dicom(np.stack([DEEP, DEEP]))).slices.shape == (2, 256, 256, 3)


def test_dicom_monochrome1_is_turned_over():
    scan = read_scan(dicom(DEEP, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(scan.slices[0, ..., 0], DEEP.max() - DEEP)


def test_nifti_is_shown_as_radiologists_see_it():
    # Axes to the patient's right, front and head; one bright voxel at right, front, second slice from below.
    volume = np.zeros((40, 50, 3), np.float32)
    volume[39, 49, 1] = 100
    volume[0, 0, :] = 1
    scan = read_scan(nifti(volume, np.diag([0.9, 1.1, 5.0, 1.0])))
    assert scan.slices.shape == (3, 50, 40, 3)
    assert scan.slices[1, 0, 0, 0] == 100  # front is up, the patient's right is on the left
    assert scan.spacing == pytest.approx((1.1, 0.9))
    flipped = read_scan(gzip.compress(nifti(volume[::-1], np.diag([-0.9, 1.1, 5.0, 1.0]))))
    np.testing.assert_array_equal(flipped.slices, scan.slices)


def test_nifti_with_three_channels_and_with_one_volume():
    channels = np.random.default_rng(0).random((32, 36, 4, 3)).astype(np.float32)
    scan = read_scan(nifti(channels))
    assert scan.slices.shape == (4, 36, 32, 3)
    assert scan.slices[2, 35, 31, 1] == channels[0, 0, 2, 1]
    assert read_scan(nifti(channels[..., :1])).slices.shape == (4, 36, 32, 3)
    assert read_scan(nibabel.Nifti2Image(channels[..., 0], np.eye(4)).to_bytes()).slices.shape == (4, 36, 32, 3)


def test_masks_of_0_and_255_and_of_labels(tmp_path: Path):
    for name, array in (("a.png", SAMPLE.mask.astype(np.uint8) * 255), ("b.png", SAMPLE.mask.astype(np.uint8) * 2)):
        Image.fromarray(array).save(tmp_path / name)
        np.testing.assert_array_equal(read_mask(tmp_path / name), SAMPLE.mask)


@pytest.mark.parametrize("spacing", ["nan\\nan ", "inf\\inf ", "-1\\-2  ", "0\\0    ", "1e9\\1e9", "1      "])
def test_spacing_that_cannot_be_is_not_used(spacing: str):
    content = dicom(DEEP, PixelSpacing=[1.25, 1.25])
    start = content.index(b"1.25\\1.25")
    damaged = content[:start] + spacing.ljust(9).encode()[:9] + content[start + 9 :]
    scan = read_scan(damaged)
    assert scan.spacing is None
    assert (NO_SPACING in scan.notes) == ("\\" in spacing)


def test_values_that_would_overflow_are_refused():
    with pytest.raises(InputError, match=r"numbers below 1e\+30"):
        read_scan(npy(np.full((64, 64), 3e38, np.float32)), "big.npy")


def test_a_sentence_stays_one_short_line():
    with pytest.raises(InputError) as told:
        read_scan(npy(np.zeros((1,) * 30)), "a\nb\u202e" + "c" * 5000)
    sentence = str(told.value)
    assert len(sentence) < 420 and sentence.isprintable() and sentence.startswith("a b c") and sentence.endswith("expected.")


def with_header(changes: dict[str, object], volume: np.ndarray | None = None) -> bytes:
    """A NIfTI volume with fields of its header written over as a careless program would."""
    content = bytearray(nifti(np.ones((40, 50, 3), np.int16) if volume is None else volume, np.diag([0.9, 1.1, 5.0, 1.0])))
    header = nibabel.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in changes.items():
        header[name] = value
    content[:348] = header.binaryblock
    return bytes(content)


ZERO = [0, 0, 0, 0]
QFORM = {"qform_code": 1, "quatern_b": 0, "quatern_c": 0, "quatern_d": 0}


@pytest.mark.parametrize(
    ("unit", "factor", "note"),
    [(1, 1000.0, None), (2, 1.0, None), (3, 0.001, None), (0, 1.0, NO_UNIT)],
    ids=["m", "mm", "um", "none"],
)
def test_nifti_units_are_turned_into_millimetres(unit: int, factor: float, note: str | None):
    affine = np.diag([0.9 / factor, 1.1 / factor, 5.0, 1.0])
    image = nibabel.Nifti1Image(np.ones((40, 50, 3), np.int16), affine)
    image.header["xyzt_units"] = unit
    scan = read_scan(image.to_bytes())
    assert scan.spacing == pytest.approx((1.1, 0.9), rel=1e-5)
    assert (NO_UNIT in scan.notes) == (note is not None)


def test_a_spacing_of_zero_gives_no_millimetres(capfd: pytest.CaptureFixture[str]):
    scan = read_scan(with_header({"pixdim": [1, 0, 0, 0, 0, 0, 0, 0], "sform_code": 0, **QFORM}))
    assert scan.spacing is None and NO_SPACING in scan.notes
    assert capfd.readouterr() == ("", "")


def test_a_broken_sform_gives_way_to_the_qform(capfd: pytest.CaptureFixture[str]):
    broken = {"srow_x": ZERO, "srow_y": ZERO, "srow_z": ZERO, "sform_code": 1, **QFORM}
    volume = np.random.default_rng(0).integers(0, 900, (40, 50, 3)).astype(np.int16)
    scan = read_scan(with_header(broken, volume))
    np.testing.assert_array_equal(scan.slices, read_scan(nifti(volume, np.diag([0.9, 1.1, 5.0, 1.0]))).slices)
    assert scan.spacing == pytest.approx((1.1, 0.9))
    assert capfd.readouterr() == ("", "")


def test_a_file_without_orientation_claims_none():
    scan = read_scan(with_header({"sform_code": 0, "qform_code": 0}))
    assert UNORIENTED in scan.notes and not any("patient's right" in note for note in scan.notes)
    assert scan.placement is not None and scan.placement.axes == ""


def test_a_sagittal_volume_is_cut_into_axial_slices():
    # The first axis runs to the front, the second to the head, the third from left to right.
    affine = np.array([[0, 0, 2.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    volume = np.random.default_rng(0).random((40, 30, 20)).astype(np.float32)
    assert read_scan(nifti(volume, affine)).slices.shape == (30, 40, 20, 3)
    with pytest.raises(InputError, match="10x40 pixels"):
        read_scan(nifti(volume[..., :10], affine))


def test_voxels_that_start_inside_of_the_header_are_read_behind_it():
    volume = np.random.default_rng(0).integers(0, 500, (40, 50, 3)).astype(np.int16)
    wrong, right = (read_volume(with_header({"vox_offset": start}, volume), "a.nii") for start in (0, 352))
    assert np.array_equal(wrong.voxels, right.voxels) and np.array_equal(wrong.voxels[..., 0], volume)
    assert any("read from byte 352" in note for note in wrong.notes) and not any("byte" in note for note in right.notes)


def test_the_header_of_a_pair_asks_for_one_file():
    with pytest.raises(
        InputError, match=r"a.hdr is a header whose voxels are in a second file \(.img\); save both as one .nii"
    ):
        read_scan(with_header({"magic": b"ni1"}), "a.hdr")


def test_three_volumes_are_channels_with_a_note_and_points_in_time_are_refused():
    four = np.random.default_rng(0).integers(0, 500, (40, 50, 5, 3)).astype(np.int16)
    assert THREE_VOLUMES in read_volume(nifti(four, np.eye(4)), "a.nii").notes
    image = nibabel.Nifti1Image(four, np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    with pytest.raises(InputError, match="a.nii holds 3 points in time; give one of them as a 3-D volume"):
        read_volume(image.to_bytes(), "a.nii")


def test_colours_in_nifti_are_named_in_plain_words():
    colours = np.zeros((40, 50, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(InputError, match="a.nii holds colours; give the grey volume that they were made from"):
        read_volume(nibabel.Nifti1Image(colours, np.eye(4)).to_bytes(), "a.nii")


def test_a_sheared_voxel_takes_the_space_of_its_determinant():
    tilted = np.diag([1.0, 1.0, 5.0, 1.0])
    tilted[1, 2] = 5 * np.tan(np.deg2rad(20))  # the gantry's tilt moves slices to the front
    volume = read_volume(nifti(np.ones((40, 50, 3), np.int16), tilted), "a.nii")
    assert SHEARED in volume.notes and volume.millilitres == pytest.approx(0.005)
    upright = read_volume(nifti(np.ones((40, 50, 3), np.int16), np.diag([1.0, 1.0, 5.0, 1.0])), "a.nii")
    assert SHEARED not in upright.notes and upright.millilitres == pytest.approx(0.005)


def test_axes_of_arrays_are_told_by_their_lengths():
    volume = np.random.default_rng(0).integers(0, 500, (20, 64, 64)).astype(np.int16)
    last = read_scan(npy(volume.transpose(1, 2, 0)), "a.npy")
    assert np.array_equal(last.slices[..., 0], volume)
    assert "The last axis, of length 20, was taken as the slices." in last.notes
    assert read_scan(npy(volume), "a.npy").notes == (ONE_CHANNEL,)
    channels = np.random.default_rng(0).integers(0, 500, (2, 3, 64, 64)).astype(np.int16)
    second = read_scan(npy(channels), "a.npy")
    assert np.array_equal(second.slices, channels.transpose(0, 2, 3, 1)) and second.notes[0].startswith("The second axis")


def test_a_mask_drawn_in_the_transparency_of_a_black_picture():
    drawn = np.zeros((*SAMPLE.mask.shape, 4), np.uint8)
    drawn[..., 3] = SAMPLE.mask * 255
    content = picture(Image.fromarray(drawn), "PNG")
    assert np.array_equal(read_mask(content, "m.png"), SAMPLE.mask) and DRAWN_IN_OPACITY in read_scan(content, "m.png").notes
