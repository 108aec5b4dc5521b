"""Slices measured by several processes: each takes whole patients, and the one that finds all measured puts them together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from resunet.data.slices import Slice, by_patient, place_of
from resunet.evaluation.measure import MAX_MASK_BYTES, Measurements, in_order
from resunet.evaluation.sweep import Sweep
from resunet.files import PackedMasks, write_arrays
from resunet.inference.shards import Shard

PARTS = ".parts"  # folder of the evaluation, a file a patient, until all are measured
Measured = pd.DataFrame | Measurements
Measure = Callable[[Sequence[Slice]], Measured]


def measure_by_patient(measure: Measure, records: Sequence[Slice], key: Sequence[object], out: Path) -> Measured | None:
    """What `measure` gives for all slices; each patient's part is kept under `out`, so that a second start goes on.

    Args:
        measure: measures some patients' slices.
        key: what tells this measurement from others, as plain values; parts of others are measured again.

    Returns None to a process that has done its share (`Shard`) while others are at theirs. Raises InputError as `measure`.
    """
    patients = list(by_patient(sorted(records, key=place_of)).values())
    (out / PARTS).mkdir(parents=True, exist_ok=True)
    places = [
        (out / PARTS / f"{number:06d}.npz", json.dumps([*key, [place_of(record) for record in slices]], default=str))
        for number, slices in enumerate(patients)
    ]
    for number in Shard.of_launcher().of(range(len(patients))):
        if _kept(*places[number]) is None:
            _keep(*places[number], measure(patients[number]))
    parts = [part for place in places if (part := _kept(*place)) is not None]
    return _joined(parts) if len(parts) == len(places) else None


def _keep(path: Path, key: str, measured: Measured) -> None:
    table = measured if isinstance(measured, pd.DataFrame) else measured.slices
    arrays = {"key": np.array(key), "rows": np.array(json.dumps(table.to_dict("records")))}
    if isinstance(measured, Measurements):
        arrays |= {f"sweep_{name}": values for name, values in measured.sweep._asdict().items()}
        arrays |= measured.masks.arrays() if measured.masks is not None else {}
    write_arrays(path, arrays)


def _kept(path: Path, key: str) -> Measured | None:
    """A patient's part, where it is of this measurement."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except FileNotFoundError:  # not measured yet, or another process has just written the evaluation
        return None
    if str(arrays["key"]) != key:
        return None
    table = pd.DataFrame(json.loads(str(arrays["rows"])))
    if "sweep_tp" not in arrays:
        return table
    sweep = Sweep(*(arrays[f"sweep_{name}"] for name in Sweep._fields))
    return Measurements(table, sweep, PackedMasks.of(arrays) if "bits" in arrays else None)


def _joined(parts: Sequence[Measured]) -> Measured:
    tables = [part if isinstance(part, pd.DataFrame) else part.slices for part in parts]
    table = in_order(pd.concat(tables, ignore_index=True))
    order = table.index.to_numpy()
    table = table.reset_index(drop=True)
    measured = [part for part in parts if isinstance(part, Measurements)]
    if not measured:
        return table
    lesions = max(part.sweep.found.shape[2] for part in measured)
    sweeps = [part.sweep._replace(found=_padded(part.sweep.found, lesions)) for part in measured]
    columns = (np.concatenate([getattr(sweep, name) for sweep in sweeps])[order] for name in Sweep._fields[1:])
    masks = [part.masks for part in measured if part.masks is not None]
    fits = len(masks) == len(measured) and len({mask.shape[1:] for mask in masks}) == 1
    if not fits or sum(mask.bits.nbytes for mask in masks) > MAX_MASK_BYTES:
        return Measurements(table, Sweep(sweeps[0].thresholds, *columns), None)
    bits = np.concatenate([mask.bits for mask in masks])[order]
    return Measurements(table, Sweep(sweeps[0].thresholds, *columns), PackedMasks(bits, masks[0].width))


def _padded(found: npt.NDArray[np.bool_], lesions: int) -> npt.NDArray[np.bool_]:
    return np.pad(found, ((0, 0), (0, 0), (0, lesions - found.shape[2])))
