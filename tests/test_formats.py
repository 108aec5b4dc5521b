"""One picture through every format and sample type: the same mask, or a sentence that names the type."""

import io
import itertools

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from resunet.data.transforms import normalise
from resunet.errors import InputError
from resunet.inference.triage import check_modality
from resunet.reading.formats.pixels import PALETTE, PRINT_COLOURS, TRANSPARENT, TURNED, turn_upright
from resunet.reading.readers import read_scan
from tests.conftest import bundled
from tests.hostile import SAMPLE, dicom, npy, picture

COLOUR = SAMPLE.image[40:216, 50:206]
GREY = COLOUR[..., 1]
TYPES = [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64, np.float16, np.float32, np.float64]


def stretched(pixels: np.ndarray, dtype: type) -> np.ndarray:
    """The 8-bit picture in another type: an exact gain and offset that use the type's range."""
    if np.dtype(dtype).kind == "f":
        return (pixels.astype(dtype) - dtype(128)) / dtype(64)
    wide = pixels.astype(object) * 257 if np.dtype(dtype).itemsize > 1 else pixels.astype(object)
    return np.asarray(wide + (-32768 if np.dtype(dtype).itemsize > 1 else -128) * (np.dtype(dtype).kind == "i")).astype(dtype)


def assert_same_picture(content: bytes, expected: np.ndarray) -> None:
    """The same slice to the network, whatever the numbers it is stored in."""
    scan = read_scan(content, "picture")
    assert scan.slices.shape[:3] == (1, *expected.shape[:2])
    channels = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    np.testing.assert_allclose(normalise(scan.slices[0]), normalise(channels), atol=2e-5)


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_every_sample_type_of_a_grey_tiff(dtype: type, byteorder: str):
    assert_same_picture(tiff(stretched(GREY, dtype), photometric="minisblack", byteorder=byteorder), GREY)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_every_layout_of_a_colour_tiff(dtype: type, layout: str, compression: str | None):
    pixels = stretched(COLOUR, dtype)
    stored = pixels if layout == "contig" else np.moveaxis(pixels, -1, 0)
    assert_same_picture(tiff(stored, photometric="rgb", planarconfig=layout, compression=compression), COLOUR)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.__name__)
def test_a_tiff_whose_white_is_zero_is_turned_over(dtype: type):
    pixels = stretched(GREY, dtype)
    assert_same_picture(tiff(-pixels if pixels.dtype.kind == "f" else ~pixels, photometric="miniswhite"), GREY)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("shown", ["grey", "colour"])
def test_every_type_of_a_numpy_file(dtype: type, byteorder: str, shown: str):
    pixels = GREY if shown == "grey" else COLOUR
    assert_same_picture(npy(stretched(pixels, dtype).astype(np.dtype(dtype).newbyteorder(byteorder))), pixels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
def test_every_png(channels: int, depth: int):
    expected = GREY if channels < 3 else COLOUR
    pixels = expected[..., None] if channels < 3 else expected
    if channels in (2, 4):
        pixels = np.dstack((pixels, np.full(GREY.shape, 255, np.uint8)))
    pixels = pixels.astype(np.uint16) * 257 if depth == 16 else pixels
    assert_same_picture(imagecodecs.png_encode(np.ascontiguousarray(pixels if channels > 1 else pixels[..., 0])), expected)


def test_palettes_of_pictures_and_tiffs_and_dicom_files_become_colours():
    indices = GREY // 2
    table = np.repeat(np.arange(256, dtype=np.uint8)[:, None] * 2, 3, axis=1)
    png = Image.fromarray(indices, "P")
    png.putpalette(table.tobytes())
    scan = read_scan(picture(png, "PNG"))
    np.testing.assert_array_equal(scan.slices[0, ..., 1], indices * 2)
    assert PALETTE in scan.notes
    scan = read_scan(tiff(indices, photometric="palette", colormap=table.T.astype(np.uint16) * 257))
    np.testing.assert_array_equal(scan.slices[0, ..., 1], indices * 2)
    assert scan.slices.dtype == np.uint8 and PALETTE in scan.notes
    lookup = {
        f"{name}PaletteColorLookupTable{part}": value
        for name in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", (np.arange(256, dtype="<u2") * 514).tobytes()))
    }
    assert_same_picture(dicom(indices.astype(np.uint16), PhotometricInterpretation="PALETTE COLOR", **lookup), indices)


def test_print_colours_are_pictures_too():
    image = Image.fromarray(COLOUR).convert("CMYK")
    for kind in ("JPEG", "TIFF"):
        scan = read_scan(picture(image, kind))
        assert PRINT_COLOURS in scan.notes
        assert np.abs(scan.slices[0].astype(int) - COLOUR).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_tags_are_followed(orientation: int):
    # Stored so that turning as the tag says gives the picture back: the inverse is found among the eight turns.
    back = next(
        turned
        for turns, flip in itertools.product(range(4), (False, True))
        for turned in [np.rot90(COLOUR[:, ::-1] if flip else COLOUR, turns)]
        if np.array_equal(turn_upright(turned, orientation, []), COLOUR)
    )
    exif = Image.Exif()
    exif[274] = orientation
    for content in (
        picture(Image.fromarray(np.ascontiguousarray(back)), "PNG", exif=exif),
        tiff(np.ascontiguousarray(back), photometric="rgb", extratags=[(274, "H", 1, orientation, True)]),
    ):
        scan = read_scan(content)
        np.testing.assert_array_equal(scan.slices[0], COLOUR)
        assert (TURNED in scan.notes) == (orientation > 1)


def test_the_eight_orientations_are_those_of_the_library():
    from PIL import ImageOps

    for orientation in range(1, 9):
        image = Image.fromarray(COLOUR)
        image.getexif()[274] = orientation
        np.testing.assert_array_equal(turn_upright(COLOUR, orientation, []), np.asarray(ImageOps.exif_transpose(image)))


def mr(pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian, **attributes: object) -> Dataset:
    """An MR image in any integer type, grey (H, W) or colour (H, W, 3)."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Modality = "MR"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in attributes.items():
        setattr(dataset, name, value)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    dataset.PixelData = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder(order)).tobytes()
    if pixels.dtype.itemsize == 1:
        dataset["PixelData"].VR = "OB"
    return dataset


def saved(dataset: Dataset, whole: bool = True) -> bytes:
    stream = io.BytesIO()
    if whole:
        dataset.save_as(stream, enforce_file_format=True)
    else:
        syntax = dataset.file_meta.TransferSyntaxUID
        del dataset.file_meta
        dataset.save_as(stream, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=syntax != ExplicitVRBigEndian)
    return stream.getvalue()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian], ids=str)
@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32], ids=lambda dtype: dtype.__name__
)
@pytest.mark.parametrize("whole", [True, False], ids=["file", "bare"])
def test_every_integer_type_and_encoding_of_dicom(syntax: str, dtype: type, whole: bool):
    assert_same_picture(saved(mr(stretched(GREY, dtype), syntax), whole), GREY)


@pytest.mark.parametrize("planes", [0, 1])
def test_colours_in_dicom_together_or_apart(planes: int):
    dataset = mr(COLOUR, PlanarConfiguration=planes)
    if planes:
        dataset.PixelData = np.ascontiguousarray(np.moveaxis(COLOUR, -1, 0)).tobytes()
    assert_same_picture(saved(dataset), COLOUR)


@pytest.mark.parametrize("name", ["FloatPixelData", "DoubleFloatPixelData"])
def test_real_numbers_in_dicom(name: str):
    dtype = np.float32 if name == "FloatPixelData" else np.float64
    dataset = mr(GREY.astype(np.uint32 if name == "FloatPixelData" else np.uint64))
    del dataset.PixelData
    setattr(dataset, name, stretched(GREY, dtype).tobytes())
    assert_same_picture(saved(dataset), GREY)


def test_padding_values_and_overlay_bits_of_dicom_are_no_tissue():
    padded = stretched(GREY, np.int16)
    padded[:20] = padded[:, :15] = 7000  # inside the tissue's range
    expected = GREY.copy()
    expected[:20] = expected[:, :15] = expected[20:, 15:].min()
    assert_same_picture(saved(mr(padded, PixelPaddingValue=7000)), expected)
    overlaid = GREY.astype(np.uint16) * 16
    overlaid[50:60, 50:60] |= 0x8000
    assert_same_picture(saved(mr(overlaid, BitsStored=12, HighBit=11)), GREY)


@pytest.mark.parametrize("where", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
def test_enhanced_dicom_states_its_spacing_in_functional_groups(where: str):
    measures, group = Dataset(), Dataset()
    measures.PixelSpacing = [0.5, 0.75]
    group.PixelMeasuresSequence = [measures]
    assert read_scan(saved(mr(GREY, **{where: [group]}))).spacing == (0.5, 0.75)


@pytest.mark.parametrize(("modality", "words"), [("SEG", "a segmentation"), ("SR", "a report"), ("RTSTRUCT", "contours")])
def test_dicom_objects_that_are_no_images_are_named(modality: str, words: str):
    with pytest.raises(InputError, match=words):
        read_scan(saved(mr(GREY, Modality=modality)), "a.dcm")


def test_a_ct_is_told_from_an_mr_by_its_own_fields():
    check_modality(read_scan(saved(mr(GREY))))
    with pytest.raises(InputError, match=r"a\.dcm is a CT, as the file says; the models were trained on MRI"):
        check_modality(read_scan(saved(mr(GREY, Modality="CT")), "a.dcm"))


def test_a_camera_preview_behind_a_jpeg_is_left_alone():
    stream = io.BytesIO()
    image = Image.fromarray(COLOUR)
    image.save(stream, "MPO", save_all=True, append_images=[image.resize((40, 40))])
    assert read_scan(stream.getvalue()).slices.shape == (1, *COLOUR.shape)


def test_thumbnails_in_a_tiff_are_no_slices():
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(COLOUR, photometric="rgb", metadata=None)
        writer.write(COLOUR[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
    assert read_scan(stream.getvalue()).slices.shape == (1, *COLOUR.shape)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tiff(GREY.astype(np.complex64), photometric="minisblack"), "complex numbers"),
        (tiff(np.dstack([GREY] * 5), photometric="minisblack", planarconfig="contig"), "5 channels"),
        (tiff(COLOUR, photometric="cielab"), "CIELAB colours"),
    ],
    ids=["complex", "five", "lab"],
)
def test_other_samples_get_a_sentence_that_names_them(content: bytes, words: str):
    with pytest.raises(InputError, match=words):
        read_scan(content, "a.tif")


def test_the_mask_is_the_same_through_all_formats():
    pipeline, deep = bundled(), stretched(COLOUR, np.uint16)
    contents = {
        "png": picture(Image.fromarray(COLOUR), "PNG"),
        "png 16": cv2.imencode(".png", deep[..., ::-1])[1].tobytes(),
        "tiff planes": tiff(np.moveaxis(deep, -1, 0), photometric="rgb", planarconfig="separate"),
        "tiff real": tiff(stretched(COLOUR, np.float64), photometric="rgb"),
        "npy": npy(stretched(COLOUR, np.int64)),
        "dicom": saved(mr(COLOUR)),
    }
    masks = {name: pipeline.predict(read_scan(content).slices[0]).mask for name, content in contents.items()}
    assert masks["png"].sum() > 500
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask, masks["png"], name)


def test_a_large_offset_does_not_drown_the_contrast():
    for dtype, offset in ((np.int64, 2**40), (np.float64, 1e12), (np.uint32, 2**31)):
        assert_same_picture(npy(GREY.astype(dtype) + dtype(offset)), GREY)


def test_heic_is_named_whatever_its_ending():
    start = b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + b"\0" * 200
    for name in ("IMG_0001.HEIC", "renamed.jpg"):
        with pytest.raises(InputError, match=f"{name} is HEIC, as iPhones store photographs; save it as JPEG"):
            read_scan(start, name)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_pictures_of_the_web_are_read(kind: str):
    stream = io.BytesIO()
    Image.fromarray(SAMPLE.image).save(stream, kind, quality=95)
    difference = read_scan(stream.getvalue(), "a").slices[0].astype(int) - SAMPLE.image
    assert np.abs(difference).mean() < 4


def test_numbers_beside_the_colour_count_as_opacity_only_where_the_file_says_so():
    grey, opacity = SAMPLE.image[..., 1], np.full(SAMPLE.image.shape[:2], 128, np.uint8)
    two = np.stack([grey, opacity], axis=-1)
    with pytest.raises(InputError, match="a.tif has 2 channels; 1"):
        read_scan(tiff(two, photometric="minisblack", planarconfig="contig"), "a.tif")
    said = read_scan(tiff(two, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]), "a.tif")
    assert TRANSPARENT in said.notes
    four = np.dstack([SAMPLE.image, opacity])
    left_out = read_scan(tiff(four, photometric="rgb", extrasamples=["unspecified"]), "a.tif")
    assert np.array_equal(left_out.slices[0], SAMPLE.image) and "was left out" in left_out.notes[0]


@pytest.mark.parametrize("ome", [False, True], ids=["ImageJ", "OME"])
def test_pages_that_are_called_channels_are_no_slices(ome: bool):
    channels = np.moveaxis(SAMPLE.image, -1, 0)
    stream = io.BytesIO()
    options = {"ome": True} if ome else {"imagej": True}
    tifffile.imwrite(stream, np.stack([channels, channels[:, ::-1]]), metadata={"axes": "ZCYX"}, **options)
    scan = read_scan(stream.getvalue(), "a.tif")
    assert np.array_equal(scan.slices, np.stack([SAMPLE.image, SAMPLE.image[::-1]]))
    assert "The file's 3 channels were taken as such." in scan.notes
