"""One page about a slice or a case, for paper: pictures, what was found, and what it rests on. An HTML file by itself."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from resunet.charts.overlay import Picture, jpeg_uri

STYLE = """
@page { size: A4; margin: 14mm; }
body { font: 11pt/1.4 "Source Sans", "Source Sans Pro", system-ui, sans-serif; color: #14212b; }
body { max-width: 182mm; margin: 8mm auto; }
h1 { font-size: 22pt; margin: 0; } h2 { font-size: 12pt; margin: 0 0 4mm; font-weight: 600; }
.pictures { display: flex; gap: 4mm; margin: 5mm 0; } figure { margin: 0; flex: 1; } img { width: 100%; display: block; }
figcaption { font-size: 9pt; color: #44525e; } table { border-collapse: collapse; width: 100%; }
td { border-top: 0.3mm solid #d5dee5; padding: 1.2mm 0; vertical-align: top; } td:first-child { width: 45mm; color: #44525e; }
p { margin: 3mm 0; } .research { border: 0.5mm solid #14212b; padding: 2mm 3mm; font-weight: 600; }
"""


def one_page(
    title: str,
    headline: str,
    figures: str,
    pictures: Sequence[tuple[Picture, str]],
    facts: Mapping[str, str],
    remarks: Sequence[str] = (),
) -> str:
    """The page as HTML.

    Args:
        title: of the slice or case; headline and figures are the verdict's.
        pictures: at most three that stand abreast, RGB uint8 (h, w, 3), each with a caption.
        facts: what stands in the table, by name.
        remarks: sentences below it.
    """
    name, heading = html.escape(title), html.escape(headline)
    shown = "".join(
        f'<figure><img src="{jpeg_uri(picture)}" alt=""><figcaption>{html.escape(caption)}</figcaption></figure>'
        for picture, caption in pictures
    )
    rows = "".join(f"<tr><td>{html.escape(fact)}</td><td>{html.escape(value)}</td></tr>" for fact, value in facts.items())
    sentences = "".join(f"<p>{html.escape(remark)}</p>" for remark in remarks)
    head = f'<head><meta charset="utf-8"><title>{name}</title><style>{STYLE}</style></head>'
    return (
        f'<!doctype html><html lang="en">{head}<body><h2>{name}</h2><h1>{heading}</h1><p>{html.escape(figures)}</p>'
        f'<div class="pictures">{shown}</div><table>{rows}</table>{sentences}'
        '<p class="research">Research use only, not a medical device. Outlines and probabilities come from neural networks.</p>'
        "</body></html>"
    )
