"""Zip files and folders as people have them: what is paired, what is left out, and what is said about it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resunet.data import folder
from resunet.data.archive import read_archive
from resunet.data.pairing import pair_files
from resunet.data.slices import read_pair
from resunet.errors import InputError
from resunet.reading.names import may_be_image, stem_of
from resunet.reading.readers import read_mask
from tests.hostile import SAMPLE, nifti, picture
from tests.test_evaluate_screen import kaggle_layout, two_folders, zipped
from tests.test_formats import tiff

IMAGE = picture(Image.fromarray(SAMPLE.image), "PNG")
MASK = picture(Image.fromarray(SAMPLE.mask.astype(np.uint8) * 255), "PNG")
PIXELS = int(SAMPLE.mask.sum())


def pairs(*names: str) -> list[tuple[str, int]]:
    return [(pair.patient, pair.number) for pair in pair_files(names, lambda name: name).pairs]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.png", "a"),
        ("a.nii.gz", "a"),
        ("A.TIFF", "A"),
        ("1.2.826.0.1", "1.2.826.0.1"),
        ("scan.v2.png", "scan.v2"),
        ("IM0001", "IM0001"),
        (".png", ".png"),
    ],
)
def test_only_endings_of_images_are_cut_off(name: str, stem: str):
    assert stem_of(name) == stem


def test_what_may_be_an_image_by_its_name():
    assert all(map(may_be_image, ("a.png", "IM0001", "1.2.826.0.1.3680043.8.498.1", "b.NII.GZ")))
    assert not any(map(may_be_image, ("README.txt", "data.csv", "notes.md", "archive.zip")))


def test_litter_of_operating_systems_is_nothing():
    files = ["set/images/p_1.png", "set/masks/p_1.png"]
    litter = ["__MACOSX/set/images/._p_1.png", "set/images/._p_1.png", "set/images/.DS_Store", "set/images/Thumbs.db"]
    litter += ["set/masks/desktop.ini", "set/.hidden/images/q_1.png", "set/images/README.txt"]
    pairing = pair_files(files + litter, lambda name: name)
    assert len(pairing.pairs) == 1 and pairing.notes() == []


def test_backslashes_are_slashes():
    assert pairs(r"set\images\p_1.png", r"set\masks\p_1.png") == [("p", 1)]


def test_train_and_test_are_both_used_and_kept_apart():
    names = [f"{part}/{kind}/p_1.png" for part in ("train", "test") for kind in ("images", "masks")]
    assert pairs(*names) == [("test/p", 1), ("train/p", 1)]


def test_a_set_that_is_inside_twice_counts_once():
    once = kaggle_layout("kaggle_3m/")
    twice = {**once, **{f"lgg-mri-segmentation/{name}": content for name, content in once.items()}}
    extra = {"kaggle_3m/data.csv": b"Patient", "kaggle_3m/README.md": b"#"}
    listing = read_archive(zipped({**twice, **extra}))
    assert len(listing.slices) == 6
    (note,) = listing.notes
    assert note.startswith("Left out: 6 images that the data hold twice (the first is lgg-mri-segmentation/kaggle_3m/")


def test_two_different_images_of_one_slice_are_refused():
    files = {"a/x/p_1.png": IMAGE, "a/x/p_1_mask.png": MASK, "b/x/p_1.png": MASK, "b/x/p_1_mask.png": MASK}
    with pytest.raises(InputError, match="both slice 1 of x; number them apart"):
        read_archive(zipped(files))


def test_equal_slices_of_two_patients_are_two():
    files = {f"{kind}/p{patient}/1.png": MASK for kind in ("images", "masks") for patient in (1, 2)}
    assert [record.patient for record in read_archive(zipped(files)).slices] == ["p1", "p2"]


@pytest.mark.parametrize("layout", [two_folders, kaggle_layout])
def test_what_has_no_partner_is_left_out_and_named(layout):
    files = layout("")
    images = sorted(name for name in files if name.endswith(".png") and "mask" not in name and "MACOSX" not in name)
    lonely_image, lonely_mask = images[0], images[1]
    for name in list(files):
        stem = Path(lonely_image).stem
        if "mask" in name and Path(name).stem in (stem, f"{stem}_mask"):
            del files[name]
    del files[lonely_mask]
    listing = read_archive(zipped(files))
    assert len(listing.slices) == 4
    assert listing.notes[0] == f"Left out: 1 image without a mask ({lonely_image})."
    assert listing.notes[1].startswith("Left out: 1 mask without an image (")


def test_a_folder_refuses_images_without_masks_and_ignores_litter(tmp_path: Path):
    for kind, content in (("images", IMAGE), ("masks", MASK)):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "p_1.png").write_bytes(content)
        (tmp_path / kind / "._p_1.png").write_bytes(b"litter")
    (tmp_path / "images" / "README.txt").write_text("hello")
    assert len(folder.records(tmp_path)) == 1
    (tmp_path / "images" / "p_2.png").write_bytes(IMAGE)
    with pytest.raises(InputError, match=r"images/p_2\.png has no mask; a file masks/p_2\.png is expected"):
        folder.records(tmp_path)


def test_an_image_of_two_pages_is_refused_as_such_a_mask_is():
    stream = io.BytesIO()
    Image.fromarray(SAMPLE.image).save(stream, "TIFF", save_all=True, append_images=[Image.fromarray(SAMPLE.image)])
    (record,) = read_archive(zipped({"images/p_1.tif": stream.getvalue(), "masks/p_1.png": MASK})).slices
    with pytest.raises(InputError, match="holds 2 slices"):
        read_pair(record)


SOFT = np.asarray(Image.fromarray(SAMPLE.mask.astype(np.uint8) * 255).resize((512, 512), Image.Resampling.BICUBIC))
GREEN = np.dstack([np.zeros_like(SAMPLE.mask), SAMPLE.mask, np.zeros_like(SAMPLE.mask)]).astype(np.uint8) * 255


def palette_mask() -> bytes:
    image = Image.fromarray(SAMPLE.mask.astype(np.uint8) * 7, "P")
    image.putpalette([0, 0, 0] * 7 + [0, 160, 0] + [0, 0, 0] * 248)
    return picture(image, "PNG")


def transparent_mask(colour: int) -> bytes:
    shape = SAMPLE.mask.shape
    planes = [np.full(shape, colour, np.uint8)] * 3 + [SAMPLE.mask.astype(np.uint8) * 255]
    return picture(Image.fromarray(np.dstack(planes)), "PNG")


MASKS = {
    "0 and 255": MASK,
    "0 and 1": picture(Image.fromarray(SAMPLE.mask.astype(np.uint8)), "PNG"),
    "green": picture(Image.fromarray(GREEN), "PNG"),
    "dark red": picture(Image.fromarray(GREEN[..., [1, 0, 2]] // 3), "PNG"),
    "palette": palette_mask(),
    "transparent": transparent_mask(255),
    "transparent red": transparent_mask(90),
    "16 bit": tiff(SAMPLE.mask.astype(np.uint16) * 65535, photometric="minisblack"),
    "float": tiff(SAMPLE.mask.astype(np.float32), photometric="minisblack"),
    "labels": nifti(np.where(SAMPLE.mask, 1 + np.indices((256, 256)).sum(0) % 2 * 3, 0).astype(np.int16).T[::-1, ::-1]),
    "bits": picture(Image.fromarray(SAMPLE.mask), "PNG"),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_of_every_kind_are_the_same_mask(name: str):
    np.testing.assert_array_equal(read_mask(MASKS[name], name), SAMPLE.mask)


def test_soft_borders_count_from_half_of_white_whatever_the_depth():
    expected = SOFT > 127
    assert expected.sum() < (SOFT > 0).sum()
    deep = SOFT.astype(np.uint16) * 257
    for content in (
        picture(Image.fromarray(SOFT), "PNG"),
        tiff(deep, photometric="minisblack"),
        tiff(SOFT.astype(np.float32) / 255, photometric="minisblack"),
    ):
        np.testing.assert_array_equal(read_mask(content), expected)


def test_negative_numbers_are_no_mask():
    with pytest.raises(InputError, match="holds negative numbers"):
        read_mask(tiff(SAMPLE.mask.astype(np.int16) * 2 - 1, photometric="minisblack"), "a.tif")


LPS, RAS = np.diag([-0.9, -0.9, 5, 1]), np.diag([0.9, 0.9, 5, 1])


def volumes(mask_affine: np.ndarray | None, turned: bool) -> bytes:
    """An image stored in LPS and its mask stored under another affine, its voxels turned to match or not."""
    image = SAMPLE.image[..., 1].T[..., None].astype(np.int16)
    mask = SAMPLE.mask.T[..., None].astype(np.int16)
    mask = mask[::-1, ::-1] if turned else mask
    affine = np.eye(4) if mask_affine is None else mask_affine
    return zipped({"images/p_1.nii": nifti(image, LPS), "masks/p_1.nii": nifti(mask, affine)})


def test_a_mask_in_another_orientation_fits_where_its_affine_is_right():
    moved = RAS.copy()
    moved[:2, 3] = -0.9 * 255  # the same places in the scanner, stored from the other corner
    (record,) = read_archive(volumes(moved, turned=True)).slices
    assert int(read_pair(record).mask.sum()) == PIXELS
    image, mask, _ = read_pair(record)
    np.testing.assert_array_equal(image[..., 1], SAMPLE.image[..., 1])
    np.testing.assert_array_equal(mask, SAMPLE.mask)


@pytest.mark.parametrize("affine", [None, RAS], ids=["identity", "RAS"])
def test_a_mask_whose_affine_disagrees_is_refused(affine: np.ndarray | None):
    (record,) = read_archive(volumes(affine, turned=False)).slices
    with pytest.raises(InputError, match="disagree on how the patient lies"):
        read_pair(record)


def test_folders_may_have_capitals_and_names_two_spellings():
    assert pairs("Images/p_1.png", "Masks/p_1.png") == [("p", 1)]
    assert pairs("images/Mu\u0308ller_1.png", "masks/M\u00fcller_1.png") == [("M\u00fcller", 1)]
    assert pairs("k/Mu\u0308ller_1.png", "k/M\u00fcller_1_mask.png") == [("k", 1)]


def test_a_folder_called_images_above_masks_beside_their_images_changes_nothing():
    assert pairs("images/kaggle_3m/P/P_1.png", "images/kaggle_3m/P/P_1_mask.png") == [("P", 1)]


def test_patients_in_one_folder_are_told_by_their_names():
    assert pairs("k/A_1.png", "k/A_1_mask.png", "k/B_1.png", "k/B_1_mask.png") == [("A", 1), ("B", 1)]


def test_a_folder_with_capitals_is_read_too(tmp_path: Path):
    for name, content in (("Images", IMAGE), ("Masks", MASK)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "p_1.png").write_bytes(content)
    assert folder.is_folder_dataset(tmp_path)
    (record,) = folder.records(tmp_path)
    assert (record.patient, record.number, int(record.mask().sum())) == ("p", 1, PIXELS)
