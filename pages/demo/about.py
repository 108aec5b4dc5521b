"""About: how the two stages work, what they stand on, how to cite it, and what every measure means."""

import html

import pandas as pd
import streamlit as st

from pages.common import loaders
from pages.common.messages import escape_markdown, show_error
from resunet.catalogue import FLAGSHIP, STAGE_1, VOLUME_MODEL
from resunet.errors import InputError
from resunet.evaluation.definitions import DEFINITIONS, LABELS
from resunet.evaluation.formulas import FORMULAS
from resunet.model_folder import ModelConfig

PAPER = "Tversky Loss Mechanisms: A ResUNet Approach to Improving Brain Tumor Segmentation"
DOI = "10.1109/QPAIN66474.2025.11171708"
BIBTEX = f"""@inproceedings{{tversky-resunet-2025,
  title     = {{{PAPER}}},
  booktitle = {{QPAIN}},
  year      = {{2025}},
  doi       = {{{DOI}}}
}}
@article{{buda2019,
  title   = {{Association of genomic subtypes of lower-grade gliomas with shape features
             automatically extracted by a deep learning algorithm}},
  author  = {{Buda, Mateusz and Saha, Ashirbani and Mazurowski, Maciej A.}},
  journal = {{Computers in Biology and Medicine}},
  volume  = {{109}},
  pages   = {{218--225}},
  year    = {{2019}}
}}"""


def diagram(stage_1: ModelConfig, stage_2: ModelConfig) -> str:
    """The way of a slice through both networks as HTML, with what their configurations say; on a phone it runs downwards."""

    def box(title: str, *lines: str) -> str:
        below = "".join(f"<span>{html.escape(line)}</span>" for line in lines)
        return f"<div class='box'><b>{html.escape(title)}</b>{below}</div>"

    def network(title: str, config: ModelConfig) -> str:
        size = f"{config.input_size} x {config.input_size} x {len(config.data_set.channels)}"
        return box(title, config.display_name, size, f"{config.parameters / 1e6:.1f} M parameters, {config.gflop:.1f} GFLOP")

    def arrow(words: str = "") -> str:
        return f"<div class='arrow'>{html.escape(words)}</div>"

    gate = stage_2.gate.threshold if stage_2.gate else 0.0
    outline = network("Stage 2: where?", stage_2) + arrow() + box("Mask", f"pixels from {stage_2.threshold:.2f}")
    start = box("Slice", *stage_2.data_set.channels) + arrow() + network("Stage 1: is there a tumour?", stage_1)
    nothing = box("No tumour found", "empty mask")
    return (
        f"<div class='flow'>{start}<div class='ways'>"
        f"<div>{arrow(f'P(tumour) from {gate:.2f}')}{outline}</div><div>{arrow(f'under {gate:.2f}')}{nothing}</div></div></div>"
    )


def basis(config: ModelConfig) -> None:
    """Paper, data, licence and repository."""
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Data and references", anchor=False)
        volume = loaders.display_name(VOLUME_MODEL)
        st.markdown(
            f"- The paper: *{PAPER}*, QPAIN 2025, DOI {DOI}.\n"
            f"- The data: {escape_markdown(config.data_set.name)}; {escape_markdown(config.data_set.licence)}.\n"
            f"- Trained on {len(config.patients['train'])} patients, chosen on {len(config.patients['val'])} others, "
            "tested on the remaining patients.\n"
            f"- Whole volumes go through {volume}, which sees four slices to either side.\n"
            "- The samples are simulated, in the head of Colin27.\n"
            "- Source code, documents and weights: this app's repository; its README says how to run all of it.\n"
            "- Research use only, not a medical device."
        )
    with right:
        st.subheader("Cite", anchor=False)
        st.code(BIBTEX, language="bibtex", wrap_lines=True)


def glossary() -> None:
    """Every measure with its meaning and formula."""
    st.subheader("What every measure means", anchor=False)
    table = pd.DataFrame(
        [
            {"Measure": LABELS[name], "Meaning": DEFINITIONS[name][0].upper() + DEFINITIONS[name][1:], "Formula": formula}
            for name, formula in FORMULAS.items()
        ]
    )
    st.dataframe(table, hide_index=True, key="glossary", height="content", row_height=40)


st.title("How it works", anchor=False)
try:
    flagship = loaders.model_config(FLAGSHIP)
    st.html(diagram(loaders.model_config(STAGE_1), flagship))
    st.caption(
        "Thresholds and the gate were chosen on validation patients. On its own, stage 1 is positive from "
        f"{loaders.model_config(STAGE_1).threshold:.2f}; the gate is far lower, so that almost no tumour is missed."
    )
    basis(flagship)
    glossary()
except InputError as error:
    show_error(error)
