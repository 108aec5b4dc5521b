"""The LGG layout, the committed split, the generic folder, membership and the bundled samples."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from resunet.data import lgg
from resunet.data.description import DataSetDescription
from resunet.data.membership import HASH_FILE, find_patient, pixel_hash
from resunet.data.samples import load_samples
from resunet.data.slices import SliceCache, fingerprint, load
from resunet.data.sources import all_slices, open_splits
from resunet.data.splits import BUDA_TEN, FOLDS, SPLITS, draw_by_site, fold_table, read_split, site, split_by_slice
from resunet.errors import InputError
from tests.conftest import patients_of

SAMPLES = load_samples()


def make_split(patients: Sequence[str], seed: int = 2025) -> pd.DataFrame:
    """The rule that made lgg_split.csv: columns patient, site, split, fold.

    Test: the ten named patients and ten more; validation: ten; each ten drawn by site in proportion. Folds deal the
    shuffled patients of each site round-robin, so that every site is spread over the five.
    """
    rng = np.random.default_rng(seed)
    others = sorted(set(patients) - set(BUDA_TEN))
    test = set(BUDA_TEN) | draw_by_site(others, 10, rng)
    val = draw_by_site([patient for patient in others if patient not in test], 10, rng)
    shuffled = [str(patient) for patient in rng.permutation(sorted(patients))]
    folds = {patient: index % FOLDS for index, patient in enumerate(sorted(shuffled, key=site))}
    rows = [
        {
            "patient": patient,
            "site": site(patient),
            "split": "test" if patient in test else "val" if patient in val else "train",
            "fold": folds[patient],
        }
        for patient in sorted(patients)
    ]
    return pd.DataFrame(rows)


def test_reads_kaggles_layout(kaggle: Path):
    records = lgg.records(lgg.find_root(kaggle))
    assert len(records) == 24
    assert records == lgg.records(lgg.find_root(kaggle / "kaggle_3m"))
    first = records[0]
    assert first.image().shape == (256, 256, 3) and first.image().dtype == np.uint8
    assert first.mask().dtype == bool
    assert [record.number for record in records[:3]] == [1, 2, 3]
    assert load(records[1], 256).mask.any()


def test_the_clinical_table_is_read_where_it_is(tmp_path: Path):
    names = ["TCGA_CS_4941_19960909", "TCGA_XX_0000_20000101"]
    assert lgg.clinical(tmp_path, names) == {}
    columns = "Patient,histological_type,neoplasm_histologic_grade,other"
    (tmp_path / "data.csv").write_text(f"{columns}\nTCGA_CS_4941,1,2,x\nTCGA_CS_5555,,,\n")
    found = lgg.clinical(tmp_path, [*names, "TCGA_CS_5555_20000101"])
    assert found["Histology"] == {names[0]: "astrocytoma", "TCGA_CS_5555_20000101": "not known"}
    assert found["Grade"][names[0]] == "grade III"
    (tmp_path / "data.csv").write_text("something,else\n1,2\n")
    assert lgg.clinical(tmp_path, names) == {}


def test_data_folder_comes_from_the_environment(kaggle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LGG_DATA", str(kaggle))
    assert lgg.find_root().name == "kaggle_3m"
    monkeypatch.delenv("LGG_DATA")
    with pytest.raises(InputError, match="Kaggle.*LGG_DATA"):
        lgg.find_root()


def test_missing_data_says_where_to_get_it(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist.*Kaggle"):
        lgg.find_root(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no.*Kaggle"):
        lgg.find_root(tmp_path)


def test_a_slice_without_its_mask_is_named(kaggle: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(kaggle, copy)
    victim = next(copy.glob("kaggle_3m/*/*_2_mask.tif"))
    victim.unlink()
    with pytest.raises(InputError, match=f"no mask beside it; {victim.name}"):
        lgg.records(lgg.find_root(copy))


def test_mask_of_another_size_is_refused(kaggle: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(kaggle, copy)
    victim = next(copy.glob("kaggle_3m/*/*_2_mask.tif"))
    Image.new("L", (64, 64)).save(victim)
    record = next(record for record in lgg.records(lgg.find_root(copy)) if record.mask_path == victim)
    with pytest.raises(InputError, match="64x64 pixels but the image is 256x256"):
        load(record, 256)


def test_committed_split_is_what_the_rule_gives():
    table = read_split()
    assert make_split(list(table["patient"])).equals(table)


def test_committed_split_keeps_its_promises():
    table = read_split()
    assert {part: len(patients_of(part, table)) for part in SPLITS} == {"train": 70, "val": 10, "test": 20}
    assert set(BUDA_TEN) <= set(patients_of("test", table))
    assert sorted(table["fold"].value_counts()) == [20] * 5
    assert (table["patient"].map(site) == table["site"]).all()
    others = [patient for patient in patients_of("test", table) if patient not in BUDA_TEN]
    assert {site(patient) for patient in others} >= {"CS", "DU", "FG", "HT"}


def test_folds_test_every_patient_once_and_keep_seventy_for_training():
    table = read_split()
    tested: list[str] = []
    for fold in range(FOLDS):
        parts = fold_table(table, fold)
        assert {part: len(patients_of(part, parts)) for part in SPLITS} == {"train": 70, "val": 10, "test": 20}
        tested += patients_of("test", parts)
    assert sorted(tested) == sorted(table["patient"])
    assert fold_table(table, 2).equals(fold_table(table, 2))


def test_splits_share_no_patient_but_the_slice_split_does(kaggle: Path):
    splits = open_splits(kaggle)
    patients = [{record.patient for record in splits.slices(split)} for split in SPLITS]
    assert [len(names) for names in patients] == [4, 2, 2]
    assert splits.slices("buda10") == [record for record in splits.test if record.patient in BUDA_TEN]
    assert splits.description == lgg.DESCRIPTION
    assert not patients[0] & patients[1] and not patients[0] & patients[2] and not patients[1] & patients[2]
    train, val, test = split_by_slice(all_slices(kaggle)[0])
    assert [len(part) for part in (train, val, test)] == [16, 4, 4]
    assert {record.patient for record in train} & {record.patient for record in test}


def test_fingerprint_follows_pixels_not_files(kaggle: Path, tmp_path: Path):
    records = all_slices(kaggle)[0]
    copy = tmp_path / "copy"
    shutil.copytree(kaggle, copy)
    for path in copy.rglob("*_1.tif"):
        Image.open(path).save(path, compression="tiff_lzw")
    assert fingerprint(all_slices(copy)[0]) == fingerprint(records)
    changed = next(copy.rglob("*_3.tif"))
    pixels = np.asarray(Image.open(changed)).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(changed)
    assert fingerprint(all_slices(copy)[0]) != fingerprint(records)


def test_cache_holds_what_loading_gives(kaggle: Path):
    records = all_slices(kaggle)[0][:4]
    cache = SliceCache(records, 256)
    assert cache.has_tumour.tolist() == [False, True, True, False]
    np.testing.assert_allclose(cache.images[1].astype(np.float32), load(records[1], 256).image, atol=4e-3)
    with pytest.raises(InputError, match="holds no slice"):
        SliceCache([], 256)


def write_folder(root: Path, patients: int = 4) -> Path:
    for number in range(patients):
        for kind, array in (("images", SAMPLES[number].image), ("masks", SAMPLES[number].mask.astype(np.uint8))):
            (root / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).resize((96, 80)).save(root / kind / f"liver{number}_7.png")
    return root


def test_a_folder_of_images_and_masks_is_a_data_set(tmp_path: Path):
    splits = open_splits(write_folder(tmp_path))
    records = splits.train + splits.val + splits.test
    assert sorted(record.patient for record in records) == ["liver0", "liver1", "liver2", "liver3"]
    assert {record.number for record in records} == {7}
    assert [len(splits.slices(split)) for split in SPLITS] == [2, 1, 1]
    assert splits.description == DataSetDescription(tmp_path.name)
    assert load(records[0], 64).image.shape == (64, 64, 3)
    assert records[0].mask().any()  # label maps of 0 and 1 count too


def test_folder_split_file_wins_and_must_list_everybody(tmp_path: Path):
    write_folder(tmp_path)
    rows = "patient,split\nliver0,test\nliver1,train\nliver2,val\n"
    (tmp_path / "split.csv").write_text(rows)
    with pytest.raises(InputError, match="does not list patient liver3"):
        open_splits(tmp_path)
    (tmp_path / "split.csv").write_text(rows + "liver3,train\n")
    assert [record.patient for record in open_splits(tmp_path).test] == ["liver0"]


def test_folder_image_without_mask_is_named(tmp_path: Path):
    write_folder(tmp_path)
    (tmp_path / "masks" / "liver2_7.png").unlink()
    with pytest.raises(InputError, match=r"liver2_7.png has no mask"):
        open_splits(tmp_path)


def test_bundled_samples_cover_the_difficulties():
    sizes = {sample.name: int(sample.mask.sum()) for sample in SAMPLES}
    assert len(SAMPLES) == 24
    assert sum(size == 0 for size in sizes.values()) >= 6
    assert sum(0 < size < 250 for size in sizes.values()) >= 6
    assert {"cavity", "faint"} <= {sample.kind for sample in SAMPLES}
    assert all(sample.image.shape == (256, 256, 3) and sample.mask.shape == (256, 256) for sample in SAMPLES)


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"name": "x", "channels": ["one", "two"]}', '{"name": "x", "colour": "red"}', "{}"]
)
def test_a_description_that_cannot_be_read_is_named(content: str, tmp_path: Path):
    (write_folder(tmp_path) / "data_set.json").write_text(content)
    with pytest.raises(InputError, match="data_set.json must be a JSON object"):
        open_splits(tmp_path)


@pytest.mark.skipif("LGG_DATA" not in os.environ, reason="needs the LGG set")
def test_the_committed_hashes_are_those_of_the_data_set():
    listed = dict(line.split(maxsplit=1) for line in HASH_FILE.read_text().splitlines())
    for patient in BUDA_TEN:
        slices = lgg.records(lgg.find_root(), [patient])
        hashes = {pixel_hash(record.image()) for record in slices if np.ptp(record.image()) > 0}
        assert hashes == set(listed[patient].split()) and find_patient(slices[9].image()) == patient


def test_a_foreign_slice_is_nobodys_and_hashes_follow_pixels():
    assert find_patient(SAMPLES[0].image) is None
    changed = SAMPLES[0].image.copy()
    changed[100, 100, 1] ^= 1
    assert pixel_hash(changed) != pixel_hash(SAMPLES[0].image)
