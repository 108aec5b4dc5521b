"""Training, exporting and measuring the recogniser: `resunet recogniser`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn, optim
from tqdm import tqdm

from resunet.files import write_bytes, write_json
from resunet.inference.hardware import thread_count
from resunet.inference.recogniser import CONTENTS, FOLDER, SIDE, Content, Recogniser
from resunet.model_folder import GRAPH_FILE, WEIGHTS_FILE
from resunet.models.export import point_to_weights, stored_tensors, trace
from resunet.models.recogniser_network import RecogniserNetwork
from resunet.reading.scan import PLANES
from resunet.training.average import averaged
from resunet.training.recognition_data import UNKNOWN, RecognitionSet, gather
from resunet.training.state import disk_tensors, save_tensors

STEPS, BATCH = 9000, 64
DECAY_OF_AVERAGE = 0.999  # of the exponential moving average of the weights
RATE, DECAY = 2e-3, 1e-4
SHARES = (0.22, 0.26, 0.26, 0.08, 0.08, 0.03, 0.07)  # of the draws, by content: the sequences that models know are hardest
SMOOTHING = 0.02  # of the labels
OUTPUTS = ["content", "plane", "skull"]
EVALUATION = "evaluation.json"


def train_recogniser(folder: Path = FOLDER, steps: int = STEPS, seed: int = 1) -> dict[str, Any]:
    """Train on the people of training, export the graph, and measure it on those of test and on BraTS, which it never saw.

    Returns what was measured, and writes it beside the graph. Raises InputError where a data set is missing.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(thread_count())
    network = fit(RecogniserNetwork(len(CONTENTS)), gather("train"), steps, np.random.default_rng(seed))
    folder.mkdir(parents=True, exist_ok=True)
    export(network, folder)
    recogniser = Recogniser(folder)
    measured = {split: measure(recogniser, gather(split)) for split in ("test", "external")}
    write_json(folder / EVALUATION, {"steps": steps, "seed": seed, **measured})
    return measured


def fit(network: nn.Module, data: RecognitionSet, steps: int, rng: np.random.Generator) -> nn.Module:
    """Train with contents drawn by SHARES, and within each its sources, planes and skulls by the root of their numbers.

    Returns the moving average of the weights; forward passes are made in bfloat16.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = averaged(network, DECAY_OF_AVERAGE)
    optimiser = optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    network.train()
    for step, (images, contents, planes, skulls) in enumerate(tqdm(batches(data, steps, rng), total=steps, mininterval=5)):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 200) * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(images.contiguous(memory_format=torch.channels_last))
        content, plane, skull = (output.float() for output in outputs)
        loss = nn.functional.cross_entropy(content, contents, label_smoothing=SMOOTHING)
        loss = loss + nn.functional.cross_entropy(plane, planes, ignore_index=UNKNOWN, label_smoothing=SMOOTHING)
        known = skulls != UNKNOWN
        loss = loss + 0.5 * nn.functional.binary_cross_entropy_with_logits(skull[known, 0], skulls[known].float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        average.update_parameters(network)
    trained: nn.Module = average.module
    return trained


def batches(data: RecognitionSet, steps: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Augmented images (BATCH, 1, SIDE, SIDE) in [0, 1] and labels (BATCH,)."""
    strata: dict[int, list[npt.NDArray[np.int64]]] = {}
    keys = [f"{source}/{plane}/{skull}" for source, plane, skull in zip(data.sources, data.planes, data.skulls, strict=True)]
    for content in range(len(CONTENTS)):
        members = np.flatnonzero(data.contents == content)
        names = np.array([keys[at] for at in members])
        strata[content] = [members[names == name] for name in np.unique(names)]
    for _ in range(steps):
        chosen = []
        for content in rng.choice(len(CONTENTS), BATCH, p=SHARES):
            groups = strata[int(content)]
            sizes = np.sqrt([len(group) for group in groups])  # between one draw a source and one a picture
            group = groups[rng.choice(len(groups), p=sizes / sizes.sum())]
            chosen.append(int(group[rng.integers(len(group))]))
        pictures = torch.from_numpy(data.pictures[chosen]).float()[:, None] / 255
        labels = (torch.from_numpy(each[chosen]) for each in (data.contents, data.planes, data.skulls))
        contents, planes, skulls = labels
        yield augment(pictures, rng), contents, planes, skulls


def augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Turned, scaled, moved, mirrored, in another contrast, blurred, noisy, on another background; in [0, 1]."""
    count = len(images)

    def drawn(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (count, 1, 1, 1)).astype(np.float32))

    angle = drawn(-0.25, 0.25).flatten()
    scale = drawn(0.85, 1.6).flatten()  # above 1, heads become smaller
    flip = torch.from_numpy(rng.choice([-1.0, 1.0], count).astype(np.float32))
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = scale * angle.cos() * flip, -scale * angle.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = scale * angle.sin() * flip, scale * angle.cos() * drawn(0.9, 1.1).flatten()
    matrix[:, :, 2] = torch.from_numpy(rng.uniform(-0.12, 0.12, (count, 2)).astype(np.float32))
    grid = nn.functional.affine_grid(matrix, list(images.shape), align_corners=False)
    moved = nn.functional.grid_sample(images, grid, align_corners=False, padding_mode="zeros")
    if rng.random() < 0.3:
        small = int(rng.integers(48, SIDE))
        coarse = nn.functional.interpolate(moved, size=small, mode="bilinear", antialias=True)
        moved = nn.functional.interpolate(coarse, size=SIDE, mode="bilinear")
    bent = moved.clamp(1e-4, 1) ** drawn(-0.4, 0.4).exp()
    waves = torch.from_numpy(rng.normal(0, 1, (count, 1, 3, 3)).astype(np.float32))
    field = nn.functional.interpolate(waves, size=SIDE, mode="bicubic") * drawn(0, 0.08)
    noise = torch.from_numpy(rng.normal(0, 1, images.shape).astype(np.float32)) * drawn(0, 0.04) * (drawn(0, 1) < 0.6)
    bright = bent * (1 + field) * drawn(0.85, 1.3) + noise
    return bright.clamp(0, 1)


def export(network: nn.Module, folder: Path) -> None:
    """Write the weights, kernels in float16, and the graph that refers to them."""
    save_tensors(folder / WEIGHTS_FILE, disk_tensors(network))
    model = trace(network, SIDE, OUTPUTS, 1)
    point_to_weights(model.graph, stored_tensors(folder / WEIGHTS_FILE))
    write_bytes(folder / GRAPH_FILE, model.SerializeToString(deterministic=True))


def measure(recogniser: Recogniser, data: RecognitionSet) -> dict[str, Any]:
    """Shares that are right: the content by source and content, the plane of slices, skull; and the confusions."""
    looks = [recogniser(picture) for picture in tqdm(data.pictures, mininterval=5)]
    contents = np.array([CONTENTS.index(look.content) for look in looks])
    planes = np.array([PLANES.index(look.plane) for look in looks])
    skulls = np.array([look.p_skull >= 0.5 for look in looks])
    by_source = {}
    for source in sorted(set(data.sources)):
        for content in sorted(set(data.contents[data.sources == source])):
            chosen = (data.sources == source) & (data.contents == content)
            name: Content = CONTENTS[content]
            by_source[f"{source}, {name}"] = {"n": int(chosen.sum()), "right": float((contents[chosen] == content).mean())}
    placed, known = data.planes != UNKNOWN, data.skulls != UNKNOWN
    table = np.zeros((len(CONTENTS), len(CONTENTS)), int)
    np.add.at(table, (data.contents, contents), 1)
    return {
        "content": by_source,
        "plane": float((planes == data.planes)[placed].mean()) if placed.any() else None,
        "skull": float((skulls == data.skulls)[known].mean()) if known.any() else None,
        "confusion": {CONTENTS[row]: dict(zip(CONTENTS, map(int, table[row]), strict=True)) for row in range(len(CONTENTS))},
    }
