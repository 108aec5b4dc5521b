"""Makes the head that is cut open on the Overview and in the slideshow, with what the volume model outlines in it.

Run again when the samples or the volume model change: python -m docs.head_in_hand
"""

from __future__ import annotations

import json
import math

import numpy as np
from PIL import Image

from resunet.catalogue import VOLUME_MODEL
from resunet.charts.overlay import render
from resunet.charts.rendering import HeadStack
from resunet.data.samples import load_volumes
from resunet.examination import sort_examinations
from resunet.files import atomic_path, write_text
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.volume_pipeline import predict_volume
from resunet.reading.stored_file import StoredFile
from resunet.reports.head_frames import COLUMNS, FIGURES, MOVING_HEAD, NEIGHBOURS, SPRITE

SIZE, QUALITY, MILLISECONDS = 400, 72, 90
FROM, TO = 225, 135  # degrees that the head turns through while it is cut from foot to top; at 180 it faces the viewer


def main() -> None:
    """Predict, render and write the frames, the animation and the figures."""
    files = [StoredFile.in_memory(name, content) for name, content in load_volumes()["tumour"].items()]
    volume = sort_examinations(files)[0].volume()
    prediction = predict_volume(TumourPipeline.load(VOLUME_MODEL), volume)
    sides, mask = volume.axial_sides, prediction.axial_mask
    assert sides is not None
    stack = HeadStack(volume.axial()[..., 1], mask, sides, SIZE)
    levels = np.linspace(0, 1, len(mask) + 1)[1:]
    frames = [Image.fromarray(stack.picture(level, FROM + (TO - FROM) * level)) for level in levels]
    sprite = Image.new("RGB", (COLUMNS * SIZE, math.ceil(len(frames) / COLUMNS) * SIZE))
    for number, frame in enumerate(frames):
        sprite.paste(frame, (number % COLUMNS * SIZE, number // COLUMNS * SIZE))
    with atomic_path(SPRITE) as temporary:
        sprite.save(temporary, format="WEBP", quality=QUALITY, method=6)
    there_and_back = frames + frames[-2:0:-1]
    with atomic_path(MOVING_HEAD) as temporary:
        there_and_back[0].save(
            temporary,
            format="WEBP",
            save_all=True,
            append_images=there_and_back[1:],
            duration=MILLISECONDS,
            loop=0,
            quality=QUALITY,
        )
    widest = int(mask.sum(axis=(1, 2)).argmax())
    for path, number in zip(NEIGHBOURS, (widest, widest + 1), strict=True):
        slice_ = render(volume.axial()[number], SIZE)
        with atomic_path(path) as temporary:
            Image.fromarray(slice_).save(temporary, format="WEBP", quality=QUALITY)
    areas = mask.sum(axis=(1, 2)) * sides[1] * sides[2] / 100  # cm2
    volumes = np.cumsum(areas) * sides[0] / 10  # ml
    write_text(FIGURES, json.dumps({"size": SIZE, "area_cm2": areas.round(2).tolist(), "volume_ml": volumes.round(2).tolist()}))
    for path in (SPRITE, MOVING_HEAD):
        print(f"{path}: {len(frames)} levels, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
