"""About: how the two stages work, what they stand on, how to cite it, and what every measure means."""

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
NODE = 'shape=box style="rounded,filled" fontname="sans-serif" fontsize=14 penwidth=1.5'


def diagram(stage_1: ModelConfig, stage_2: ModelConfig) -> str:
    """The way of a slice through both networks, in Graphviz's language, with what their configurations say."""

    def network(config: ModelConfig) -> str:
        size = config.input_size
        return (
            f"{config.display_name}\\n{size} x {size} x {len(config.data_set.channels)}\\n"
            f"{config.parameters / 1e6:.1f} M parameters, {config.gflop:.1f} GFLOP"
        )

    channels = "\\n".join(stage_2.data_set.channels)
    gate = stage_2.gate.threshold if stage_2.gate else 0.0
    return f"""digraph {{
        rankdir=LR; bgcolor=transparent; nodesep=0.5; ranksep=0.5;
        node [{NODE} fillcolor="#f1f5f8" color="#0b6e99" fontcolor="#14212b"];
        edge [fontname="sans-serif" fontsize=14 color="#8a949c" fontcolor="#7b858d"];
        slice [label="{channels}" shape=folder];
        first [label="Stage 1: is there a tumour?\\n{network(stage_1)}"];
        second [label="Stage 2: where?\\n{network(stage_2)}"];
        empty [label="No tumour found\\nempty mask"];
        mask [label="Mask\\npixels from {stage_2.threshold:.2f}"];
        slice -> first;
        first -> empty [label="P(tumour) under {gate:.2f}"];
        first -> second [label="else"];
        second -> mask;
    }}"""


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
    st.graphviz_chart(diagram(loaders.model_config(STAGE_1), flagship), width="stretch")
    st.caption(
        "Thresholds and the gate were chosen on validation patients. On its own, stage 1 is positive from "
        f"{loaders.model_config(STAGE_1).threshold:.2f}; the gate is far lower, so that almost no tumour is missed."
    )
    basis(flagship)
    glossary()
except InputError as error:
    show_error(error)
