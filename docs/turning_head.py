"""Makes the slideshow's turning head: the bundled examination with what the volume model outlines in it.

Run again when the samples or the volume model change: python -m docs.turning_head
"""

from __future__ import annotations

import cv2
from PIL import Image

from resunet.catalogue import VOLUME_MODEL
from resunet.charts.rendering import turning_head
from resunet.data.samples import load_volumes
from resunet.examination import sort_examinations
from resunet.files import atomic_path
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.volume_pipeline import predict_volume
from resunet.reading.stored_file import StoredFile
from resunet.reports.slideshow_file import TURNING_HEAD

FRAMES, MILLISECONDS, ENLARGED, QUALITY = 48, 90, 3, 70


def main() -> None:
    """Predict, render and write the animation."""
    files = [StoredFile.in_memory(name, content) for name, content in load_volumes()["tumour"].items()]
    volume = sort_examinations(files)[0].volume()
    prediction = predict_volume(TumourPipeline.load(VOLUME_MODEL), volume)
    assert volume.axial_sides is not None
    frames = turning_head(volume.axial()[..., 1], prediction.axial_mask, volume.axial_sides, FRAMES)
    pictures = [
        Image.fromarray(cv2.resize(frame, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)) for frame in frames
    ]
    with atomic_path(TURNING_HEAD) as temporary:
        pictures[0].save(
            temporary, save_all=True, append_images=pictures[1:], duration=MILLISECONDS, loop=0, quality=QUALITY, method=6
        )
    print(f"{TURNING_HEAD}: {len(pictures)} frames, {TURNING_HEAD.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
