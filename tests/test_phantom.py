"""The bundled examinations and slices; what draws them runs only where Debian's mricron-data is installed."""

import gzip

import cv2
import nibabel
import numpy as np
import pytest
from scipy import ndimage

from resunet.data.samples import SAMPLES, T1CE, load_samples, load_volumes
from resunet.errors import InputError
from resunet.reading.sequences import read_name
from resunet.simulation.growth import FRONT, grow
from resunet.simulation.lesions import KINDS, Look
from resunet.simulation.noise import smooth_noise
from resunet.simulation.patient import Patient
from resunet.simulation.scanner import acquire
from resunet.simulation.template import HEAD, TEMPLATES, Template, flair_of

needs_template = pytest.mark.skipif(not (TEMPLATES / HEAD).exists(), reason="Debian's mricron-data is not installed")


@pytest.fixture(scope="module")
def ball() -> Template:
    """A ball of white matter in a shell of grey, 60 voxels wide."""
    away = np.hypot.reduce(np.meshgrid(*[np.arange(-40.0, 41)] * 3, indexing="ij"))
    brain = (away < 30).astype(np.float32)
    t1 = np.where(away < 20, 1.0, 0.73).astype(np.float32) * brain
    depth = ndimage.distance_transform_edt(brain).astype(np.float32)
    return Template(t1, brain, depth, brain)


@pytest.mark.slow
def test_a_tumour_grows_to_its_volume_within_the_brain_and_faster_in_white_matter(ball: Template):
    density = grow(ball, np.array([40, 40, 40]), 20, np.random.default_rng(0))
    inside = density > FRONT
    assert 20_000 <= inside.sum() < 26_000  # cubic millimetres, as it looks every few steps only
    assert not inside[ball.brain == 0].any() and ndimage.label(inside)[1] == 1
    assert inside[ball.t1 == 1].mean() > 2 * inside[(ball.t1 > 0) & (ball.t1 < 1)].mean()


def test_fluid_is_dark_on_flair_and_grey_matter_above_white():
    fluid, grey, white = flair_of(np.array([0.3, 0.73, 1.0], np.float32), np.ones(3, np.float32), fat=1.0)
    assert fluid < 0.2 * white < white < grey
    air, fat = flair_of(np.array([0.0, 2.2], np.float32), np.zeros(2, np.float32), fat=1.5)
    assert air == 0 and fat > 2 * white


def test_a_lesion_brightens_flair_darkens_t1_and_leaves_fluid_alone():
    tumour = KINDS["typical"]
    assert tumour is not None
    sequences = np.full((3, 2), 0.5, np.float32)
    t1, density = np.array([1.0, 0.3], np.float32), np.ones(2, np.float32)
    mask = Look(tumour, 0.8, enhances=False).paint(sequences, t1, density, np.zeros(2, np.float32))
    np.testing.assert_array_equal(mask, [1, 0])
    np.testing.assert_allclose(sequences, [[0.4, 0.5], [0.9, 0.5], [0.4, 0.5]])  # FLAIR 0.5 x 1.8, T1 0.5 x (1 - 0.25 x 0.8)


def test_noise_is_even_and_a_scanner_keeps_the_order_of_tissues():
    rng = np.random.default_rng(1)
    field = smooth_noise(rng, (40, 50, 30), 5)
    assert field.shape == (40, 50, 30) and abs(field.mean()) < 0.5 and 0.5 < field.std() < 1.5
    steps = np.broadcast_to(np.repeat([0.0, 0.3, 0.6, 0.9], 16)[None, :, None, None], (3, 64, 64, 2)).astype(np.float32)
    images = acquire(steps, rng)
    assert images.shape == (64, 64, 2, 3) and images.dtype == np.uint8
    assert (np.diff([images[start : start + 16].mean() for start in (0, 16, 32, 48)]) > 20).all()


def test_the_bundled_examinations_are_a_case_of_three_with_its_mask_and_a_single_flair():
    volumes = load_volumes()
    assert list(volumes) == ["tumour", "healthy"]
    assert [read_name(name)[:2] for name in volumes["healthy"]] == [("simulated_healthy", "flair")]
    readings = [read_name(name) for name in volumes["tumour"]]
    assert {reading.sequence for reading in readings if not reading.is_mask} == {"pre", "flair", "post"} and len(readings) == 4
    images = [nibabel.Nifti1Image.from_bytes(gzip.decompress(file)) for file in volumes["tumour"].values()]
    assert {image.shape for image in images} == {(192, 224, 55)}
    assert {image.header.get_zooms() for image in images} == {(1, 1, 3)}


def test_samples_of_contrast_enhanced_t1_show_every_tumour_in_every_plane():
    samples = load_samples(SAMPLES / T1CE)
    assert len(samples) == 12 and {sample.plane for sample in samples} == {"axial", "coronal", "sagittal"}
    assert {sample.kind.partition("_")[0] for sample in samples} == {"meningioma", "glioma", "pituitary", "no"}
    for sample in samples:
        post = sample.image[..., 0].astype(float)
        assert sample.simulated and sample.image.shape == (256, 256, 3) and sample.mask.any() == (sample.kind != "no_tumour")
        if sample.kind != "no_tumour":  # the tumour, of a glioma its rim, enhances
            edge = sample.mask & ~cv2.erode(sample.mask.astype(np.uint8), np.ones((9, 9))).astype(bool)
            around = cv2.dilate(sample.mask.astype(np.uint8), np.ones((21, 21))).astype(bool) & ~sample.mask & (post > 30)
            assert np.percentile(post[edge], 75) > 1.3 * np.median(post[around])


@pytest.mark.parametrize("sample", load_samples(), ids=lambda sample: sample.name)
def test_bundled_slices_hold_what_their_kind_says(sample):
    flair, pixels = sample.image[..., 1].astype(float), int(sample.mask.sum())
    assert sample.image.shape == (256, 256, 3) and sample.simulated
    if sample.kind == "none":
        assert pixels == 0
        return
    low, high = {"small": (40, 400), "large": (2500, 7000)}.get(sample.kind, (600, 3500))
    assert low < pixels < high
    around = cv2.dilate(sample.mask.astype(np.uint8), np.ones((21, 21))).astype(bool) & ~sample.mask & (flair > 40)
    assert flair[sample.mask].mean() > 1.1 * flair[around].mean()


@pytest.mark.slow
@needs_template
def test_the_same_kind_and_seed_give_the_bundled_slice():
    patient = Patient("small", 2)
    images, mask = patient.examine([patient.best_level()], (256, 256), 0.88, 4)
    sample = next(sample for sample in load_samples(SAMPLES) if sample.name == "small_1")
    np.testing.assert_array_equal(images[:, :, 0].transpose(1, 0, 2)[::-1, ::-1], sample.image)
    np.testing.assert_array_equal(mask[:, :, 0].T[::-1, ::-1], sample.mask)


def test_unknown_kind_names_the_known_ones():
    with pytest.raises(InputError, match="no simulated kind 'huge'.*cavity"):
        Patient("huge", 1)
