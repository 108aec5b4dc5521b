"""The viewer of a volume: NiiVue's three planes and rendering, or axial slices where the browser has no WebGL2."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from niivue_component import niivue_viewer

from pages.common.chart import chart
from pages.common.volumes import segmented_volume as volumes
from resunet.charts import overlay
from resunet.charts.volume_charts import by_slice
from resunet.examination import Examination
from resunet.inference.volume_pipeline import VolumePrediction
from resunet.reading.formats.nifti import nifti_on_grid
from resunet.reading.scan import BoolMask
from resunet.reading.volume_scan import Volume

HEIGHT = 640  # pixels
WITHOUT_WEBGL2 = "without_webgl2"  # in the session: the browser cannot show the volume itself
VIEWS = {"Axial": "axial", "Coronal": "coronal", "Sagittal": "sagittal", "In space": "3d", "All": "multiplanar"}
# NiiVue's colour maps, the share of each at which it comes closest to the colour of slices, and that colour.
COLOURS: dict[str, tuple[str, float, overlay.Colour]] = {
    "outlined": ("gold", 170 / 255, overlay.PREDICTED),
    "hit": ("bluegrn", 158 / 255, overlay.HIT),
    "missed": ("blue2cyan", 178 / 255, overlay.MISS),
    "false": ("violet", 200 / 255, overlay.FALSE_POSITIVE),
}
# Says where WebGL2 is missing, and moves NiiVue's crosshair by its own keys: Ctrl+D a slice down, Ctrl+U a slice up.
HELPER = st.components.v2.component(
    "volume_helper",
    js="""
    export default function({ data, setStateValue }) {
      if (!document.createElement("canvas").getContext("webgl2")) { setStateValue("without_webgl2", true); return; }
      const framed = () => [...document.querySelectorAll("iframe")].find((one) => one.title.includes("niivue"));
      const tidy = (tries) => {  // a cross without words, which would take the volume away
        const content = framed() && framed().contentDocument;
        const cross = content && [...content.querySelectorAll("button")].find((one) => one.textContent.trim() === "X");
        if (cross) cross.style.display = "none"; else if (tries) setTimeout(tidy, 500, tries - 1);
      };
      tidy(20);
      if (!data || !data.slice || data.click === window.volumeClick) return;
      window.volumeClick = data.click;
      const content = framed() && framed().contentDocument, canvas = content && content.querySelector("canvas");
      if (!canvas) return;
      const box = canvas.getBoundingClientRect();  // NiiVue listens to keys once it was clicked; here beside the planes
      const at = { clientX: box.right - 2, clientY: box.bottom - 2, bubbles: true };
      for (const event of ["mousedown", "mouseup"]) canvas.dispatchEvent(new MouseEvent(event, at));
      const press = (code) => canvas.dispatchEvent(new KeyboardEvent("keydown", { code, ctrlKey: true, bubbles: true }));
      for (let step = 0; step < data.depth; step++) press("KeyD");
      for (let step = 1; step < data.slice; step++) press("KeyU");
    }
    """,
)


def show(examination: Examination, prediction: VolumePrediction, mask: BoolMask, truth: BoolMask | None) -> None:
    """The mask, or where the truth is known its hits and misses, over the volume. Raises InputError."""
    parts = {"outlined": mask}
    if truth is not None:
        parts = {"hit": mask & truth, "missed": truth & ~mask, "false": mask & ~truth}
    if st.session_state.get(WITHOUT_WEBGL2):
        _slices(examination, prediction, parts)
    else:
        _planes(examination, prediction, parts)
    st.caption("Orange: outlined." if truth is None else "Green: hit, blue: missed, magenta: false positive.")


def is_wide() -> bool:
    """Whether the view that is chosen fills a wide column, as no plane alone does."""
    return st.session_state.get("volume_view") in ("In space", "All")


def _planes(examination: Examination, prediction: VolumePrediction, parts: dict[str, BoolMask]) -> None:
    place = st.container()  # above its buttons, so that the head is in the first screen
    view = st.segmented_control(
        "View", list(VIEWS), default="Axial", required=True, key="volume_view", label_visibility="collapsed"
    )
    aspect = _aspects(prediction.volume).get(str(view))
    width = "stretch" if aspect is None else round(HEIGHT * aspect)  # beside a plane alone a dark strip would be left
    with place, st.container(width=width, key="volume_planes"):
        niivue_viewer(
            volumes.picture(examination),
            examination.main.name if examination.main.kind == "nifti" else f"{examination.name}.nii.gz",
            overlays=[
                {
                    "data": on_grid(prediction, part, name),
                    "name": f"{name}.nii.gz",
                    "colormap": COLOURS[name][0],
                    "opacity": 0.6,
                }
                for name, part in parts.items()
            ],
            height=HEIGHT,
            view_mode=VIEWS[str(view)],
            styled=False,
            settings={"radiological": True, "crosshair": True},
            update_interval_ms=None,  # clicks stay in the browser
            key="niivue",
        )


def _aspects(volume: Volume) -> dict[str, float]:
    """Width over height of each view that shows a plane alone."""
    across, along, up = np.ptp(volume.corners.reshape(-1, 3), axis=0)
    return {"Axial": across / along, "Coronal": across / up, "Sagittal": along / up}


def _slices(examination: Examination, prediction: VolumePrediction, parts: dict[str, BoolMask]) -> None:
    st.info("This browser has no WebGL2, which three planes and a rendering need; here are the axial slices instead.")
    planes = volumes.planes(examination)
    depth = len(prediction.probability)
    number = st.slider("Slice, from the foot", 1, depth, (depth + 1) // 2, key="volume_slice") if depth > 1 else 1
    picture = overlay.render(planes[number - 1], HEIGHT)
    for name, part in parts.items():
        picture = overlay.outline(picture, part[number - 1], COLOURS[name][2])
    st.image(picture, alt=f"Axial slice {number} with what was outlined")


def along_the_head(table: pd.DataFrame, stage_1_threshold: float) -> None:
    """The chart by slice, a click on which moves the viewer's crosshair there. Redrawn alone."""

    @st.fragment
    def draw() -> None:
        event: Any = chart(by_slice(table, stage_1_threshold), "volume_slices", "Along the head", selectable=True)
        points = event["selection"]["points"]
        slice_ = int(points[0]["x"]) if points else None
        data = {"slice": slice_, "depth": len(table), "click": str(points)}
        helped = HELPER(data=data, key="volume_helper", on_without_webgl2_change=lambda: None)
        if helped.without_webgl2 and not st.session_state.get(WITHOUT_WEBGL2):
            st.session_state[WITHOUT_WEBGL2] = True
            st.rerun()
        st.caption("A click on the chart moves the crosshair to that slice.")

    draw()


def on_grid(prediction: VolumePrediction, mask: BoolMask, name: str | None = None) -> bytes:
    """A mask (D, H, W) as a NIfTI file on the input's grid, which the viewer shows in the colour of `name`."""
    brightest = 1 / COLOURS[name][1] if name else 0
    return nifti_on_grid(prediction.volume, prediction.volume.from_axial(mask).astype(np.uint8), brightest)
