"""Cases: one slice of one evaluation with its true and its predicted mask. Its address can be shared."""

import numpy as np
import pandas as pd
import streamlit as st

from pages.common import loaders
from pages.common.dashboards import case_list, evaluations, selection
from pages.common.dashboards.caching import of_slices
from pages.common.messages import escape_markdown, show_error
from resunet.charts import overlay
from resunet.data import brats, no_tumour
from resunet.errors import InputError
from resunet.evaluation.evaluation import EXTERNAL, NO_TUMOUR, NO_TUMOUR_VAL, Evaluation
from resunet.evaluation.overlap import table_dice, table_iou
from resunet.inference.verdict import percent

PICTURE = 640
SETS = {  # evaluations on another set than the model's, and the variable that names its folder
    EXTERNAL: (brats.DESCRIPTION, loaders.BRATS_SETTING),
    NO_TUMOUR: (no_tumour.DESCRIPTION, "NO_TUMOUR_DATA"),
    NO_TUMOUR_VAL: (no_tumour.DESCRIPTION, "NO_TUMOUR_DATA"),
}


def ranked(slices: pd.DataFrame) -> pd.DataFrame:
    """Worst first: by wrong pixels, since Dice alone says nothing about empty slices."""
    wrong = slices["fp"] + slices["fn"]
    table = slices.assign(dice=table_dice(slices), iou=table_iou(slices), wrong=wrong, row=np.arange(len(slices)))
    return table.sort_values(["wrong", "patient", "slice"], ascending=[False, True, True], ignore_index=True)


def position_of(table: pd.DataFrame, evaluation: Evaluation) -> int:
    """The row that the address names; the worst one when it names none."""
    where = st.query_params
    if "patient" not in where:
        return 0
    wanted = table[(table["patient"] == where["patient"]) & (table["slice"].astype(str) == where.get("slice", ""))]
    if wanted.empty:
        shown = f"{evaluation.display_name}, {evaluations.name_of(evaluation.name)}"
        st.warning(f"This slice is not part of {shown}; showing the worst one.")
        return 0
    return int(wanted.index[0])


def steps(table: pd.DataFrame, position: int) -> None:
    """Buttons to the previous and next slice by error, and to the slices above and below."""
    row = table.iloc[position]
    same = table[table["patient"] == row["patient"]].sort_values("slice", ignore_index=True)
    at = int(same.index[same["slice"] == row["slice"]][0])
    moves = (
        ("Previous", table, position - 1, ":material/arrow_back:"),
        ("Next", table, position + 1, ":material/arrow_forward:"),
        ("Slice below", same, at - 1, ":material/arrow_downward:"),
        ("Slice above", same, at + 1, ":material/arrow_upward:"),
    )
    with st.container(horizontal=True, gap="small"):
        for label, rows, target, icon in moves:
            possible = 0 <= target < len(rows)
            arguments = (rows.iloc[target],) if possible else ()
            st.button(label, icon=icon, disabled=not possible, on_click=case_list.go_to, args=arguments, key=f"step_{label}")


def what_happened(row: pd.Series) -> str:
    """The case in a few words."""
    if not row["tumour_pixels"]:
        return "No tumour here: a false alarm" if row["fp"] else "No tumour here, and none outlined"
    if not row["tp"]:
        return "The tumour is missed" if not row["fp"] else "The tumour is missed, something else outlined"
    more = "more outlined than there is" if row["fp"] > row["fn"] else "less outlined than there is"
    return f"Dice {row['dice']:.2f}: {more}"


def numbers(row: pd.Series) -> None:
    """The case's figures."""
    labels = {"Dice": row["dice"], "IoU": row["iou"], "HD95, px": row["hd95"], "P(tumour)": row["p_tumour"]}
    for column, (label, value) in zip(st.columns(4), labels.items(), strict=True):
        shown = percent(value) if label == "P(tumour)" else f"{value:.3f}"
        nothing = pd.isna(value)
        help_text = "Undefined: a mask is empty, or stage 1 was not run" if nothing else None
        column.metric(label, "–" if nothing else shown, border=True, help=help_text)
    st.caption(
        f"{row['tumour_pixels']:,} tumour pixels: {row['tp']:,} found, {row['fn']:,} missed; {row['fp']:,} false positives. "
        + ("" if pd.isna(row["p_tumour"]) else "Masks before the gate; P(tumour) is stage 1's.")
    )


KEYS = st.components.v2.component(
    "case_keys",
    js="""
    // Arrow keys press the buttons that step through the cases, unless somebody types.
    const TYPING = "input, textarea, canvas, [role=slider], [role=tab], [role=combobox]";
    const STEPS = { ArrowLeft: "Previous", ArrowRight: "Next", ArrowDown: "Slice below", ArrowUp: "Slice above" };
    export default function () {
      const press = (event) => {
        if (!STEPS[event.key] || event.target.closest(TYPING)) return;
        const place = document.querySelector(`.st-key-step_${STEPS[event.key].replace(" ", "-")} button`);
        if (place && !place.disabled) { event.preventDefault(); place.click(); }
      };
      document.addEventListener("keydown", press);
      return () => document.removeEventListener("keydown", press);
    }
    """,
)


def beside(evaluation: Evaluation, row: pd.Series) -> None:
    """The same slice under another model that was measured on it."""
    others = [name for name in evaluations.compared_models() if name != evaluation.model]
    known = {name: one for name, one in evaluations.of_all(others, evaluation.name).items() if one.masks() is not None}
    if not known:
        return
    place = "Another model on this slice"
    other = st.selectbox("Beside it", list(known), None, format_func=loaders.display_name, placeholder=place, key="beside")
    if other is None:
        return
    table = of_slices(ranked, known[other])
    same = table[(table["patient"] == row["patient"]) & (table["slice"] == row["slice"])]
    if same.empty:
        st.info(f"{loaders.display_name(other)} was not measured on this slice.")
        return
    dice = same.iloc[0]["dice"]
    st.markdown(f"**{loaders.display_name(other)}**: Dice {'–' if pd.isna(dice) else f'{dice:.3f}'}")
    pictures(known[other], same.iloc[0])


def pictures(evaluation: Evaluation, row: pd.Series) -> None:
    """With the data: slice with both outlines, and hits and misses. Without: the predicted mask alone."""
    masks = evaluation.masks()
    predicted = None if masks is None or row["row"] >= len(masks) else masks[int(row["row"])]
    data, setting = SETS.get(evaluation.name, (loaders.model_config(evaluation.model).data_set, "LGG_DATA"))
    record = case_list.record_of(evaluation, row["patient"], int(row["slice"]))
    if record is None and predicted is None:
        st.info("The predicted masks of this evaluation were not kept.")
    left, right = st.columns(2)
    if record is None:
        if predicted is not None:
            left.image(predicted.astype(np.uint8) * 255, width="stretch", alt="Predicted mask")
            left.caption("Predicted mask.")
        (st if predicted is None else right).info(
            f"The slice itself is not shown: {data.name} is not part of this repository ({data.licence}). "
            f"To see it, download the data and set {setting} to their folder."
        )
        return
    truth = record.mask()
    plain = overlay.render(record.image(), PICTURE)
    both = overlay.outline(plain, truth, overlay.TRUTH)
    if predicted is None:
        left.image(both, width="stretch", alt="FLAIR with the true outline")
        left.caption("FLAIR. Blue: true outline. The predicted masks of this evaluation were not kept.")
        return
    both = overlay.outline(both, predicted, overlay.PREDICTED)
    left.image(both, width="stretch", alt="FLAIR with the true and the predicted outline")
    left.caption("FLAIR. Blue: true outline, orange: predicted.")
    right.image(overlay.error_map(plain, predicted, truth), width="stretch", alt="Hits, misses and false positives")
    right.caption("Green: hit. Blue: missed. Magenta: false alarm.")


def show(evaluation: Evaluation) -> None:
    """The case, and the list it was taken from."""
    table = of_slices(ranked, evaluation)
    position = position_of(table, evaluation)
    row = table.iloc[position]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(escape_markdown(f"{row['patient']}, slice {row['slice']}"), anchor=False, width="content")
        st.markdown(f"##### {what_happened(row)}", width="content")
    st.caption(f"Number {position + 1} of {len(table)}, most wrong pixels first. Arrow keys step.")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        pictures(evaluation, row)
        steps(table, position)
        numbers(row)
        beside(evaluation, row)
    KEYS(key="case_keys")
    with right:
        case_list.show(evaluation, table, position)


st.title("Cases", anchor=False)
try:
    chosen = selection.choose_evaluation("segmentation", with_samples=not loaders.lgg_patients())
    if chosen is not None:
        show(chosen)
except InputError as error:
    show_error(error)
