"""How often the badge "Unlike the scans this was trained on" shows, by kind of picture, as a Markdown table.

python -m benchmarks.out_of_distribution --data LGG --brats FOLDER. The pictures are made in other ways than those that the
detector was fitted on, and the photographs are real: crops of the two that scikit-learn carries.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_sample_images

from resunet.data.samples import load_samples
from resunet.data.sources import open_splits
from resunet.inference.pipeline import TumourPipeline

Picture = npt.NDArray[np.generic]
SIDE, HEADS, PICTURES = 256, 150, 300


def photographs(rng: np.random.Generator) -> Iterable[Picture]:
    """Crops in colour and in grey."""
    images = load_sample_images().images
    for _ in range(PICTURES):
        image = images[rng.integers(len(images))]
        side = int(rng.integers(120, min(image.shape[:2])))
        top, left = (int(rng.integers(size - side + 1)) for size in image.shape[:2])
        crop = cv2.resize(image[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        yield crop if rng.random() < 0.5 else np.repeat(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def ultrasound(rng: np.random.Generator) -> Iterable[Picture]:
    """Speckle with a dark lesion that fades with depth, two thirds of them in a sector."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for _ in range(PICTURES):
        coarse = cv2.resize(rng.rayleigh(40, (64, 64)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        x, y, width, height = rng.integers((80, 90, 15, 15), (180, 200, 50, 40))
        lesion = 1 - 0.8 * np.exp(-(((columns - x) / width) ** 2) - ((rows - y) / height) ** 2)
        plane = coarse * rng.rayleigh(1, (SIDE, SIDE)) * lesion * np.exp(-rows / 300)
        if rng.random() < 0.7:
            angle, depth = np.arctan2(columns - SIDE / 2, rows + 30), np.hypot(columns - SIDE / 2, rows + 30)
            plane = plane * ((np.abs(angle) < 0.6) & (depth < 280))
        yield grey(np.clip(plane, 0, 255).astype(np.uint8))


def ct(slices: list[Picture], rng: np.random.Generator) -> Iterable[Picture]:
    """A bright ring for the skull around a nearly even brain, in the outline of a slice's head."""
    for image in slices:
        smooth = cv2.GaussianBlur(np.asarray(image[..., 1]), (0, 0), 3)
        head = cv2.morphologyEx((smooth > 12).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8))
        depth, skull = cv2.distanceTransform(head, cv2.DIST_L2, 5), rng.uniform(5, 9)
        brain = depth >= 4 + skull
        plane = 40.0 * head + rng.normal(0, 2, head.shape)
        if brain.any():
            texture = smooth[brain] - smooth[brain].mean(dtype=float)
            plane[brain] = rng.uniform(90, 120) + 0.2 * texture + rng.normal(0, 5, int(brain.sum()))
        plane[(depth > 4) & ~brain] = 255
        yield grey(np.clip(plane, 0, 255).astype(np.uint8))


def noise(rng: np.random.Generator) -> Iterable[Picture]:
    """White noise and clouds."""
    for number in range(PICTURES):
        plane = rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32)
        yield grey(plane if number % 2 else cv2.GaussianBlur(plane, (0, 0), rng.uniform(1, 12)))


def grey(plane: Picture) -> Picture:
    return np.repeat(plane[..., None], 3, axis=2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--brats", type=Path, required=True)
    options = parser.parse_args()
    pipeline, rng = TumourPipeline.load(), np.random.default_rng(0)
    test = [record.image() for record in open_splits(options.data).test]
    heads = [image for image in test if (image[..., 1] > 40).mean() > 0.08]  # slices that show more than the vertex
    chosen = [heads[index] for index in rng.choice(len(heads), min(HEADS, len(heads)), replace=False)]
    brats = np.load(options.brats / "slices.npz")["image"].astype(np.float32)
    turn: Callable[[Picture], Picture] = np.rot90
    sets: dict[str, Iterable[Picture]] = {
        "LGG, all test slices": test,
        "LGG, FLAIR alone": [grey(image[..., 1]) for image in chosen],
        "LGG, turned by 90 degrees": map(turn, chosen),
        "Bundled samples": [sample.image for sample in load_samples()],
        "BraTS, skull-stripped": brats,
        "BraTS, turned by 90 degrees": map(turn, brats),
        "BraTS, inverted": brats.max() - brats,
        "LGG, inverted": [255 - image for image in chosen],
        "LGG, FLAIR alone and inverted": [grey(255 - image[..., 1]) for image in chosen],
        "CT-like": ct(chosen, rng),
        "Ultrasound-like": ultrasound(rng),
        "Photographs": photographs(rng),
        "Noise": noise(rng),
    }
    print("| Pictures | n | Badge shown |\n| --- | --- | --- |")
    for name, pictures in sets.items():
        judged = [next(pipeline.predict_slices(picture[None])) for picture in pictures]
        flags = [prediction is not None and prediction.is_unlike_training for prediction in judged]
        print(f"| {name} | {len(flags)} | {np.mean(flags):.1%} |", flush=True)


if __name__ == "__main__":
    main()
