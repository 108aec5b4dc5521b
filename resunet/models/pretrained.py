"""Trained networks by one call: `ResUNet.from_pretrained("owner/name", revision)`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from resunet.errors import InputError


class Pretrained:
    """Adds `from_pretrained` to a network class.

    The Hub library's own mixin (PyTorchModelHubMixin) loads with strict=False and knows no checksum; this one loads a
    model folder as the pipeline does.
    """

    @classmethod
    def from_pretrained(cls, source: str | Path, revision: str | None = None) -> Self:
        """The trained network in eval mode.

        Args:
            source: a model folder, the name of a bundled model, or 'owner/name' on the Hub.
            revision: the commit on the Hub, 40 hexadecimal digits; needed there.

        Raises:
            InputError: no such model, damaged weights, or another architecture than this class.
        """
        from resunet.hub import Pin, fetch, find_model
        from resunet.stages import load_model

        folder = find_model(source) if revision is None else fetch(Pin.parse(f"{source}@{revision}"))
        model = load_model(folder)
        if not isinstance(model, cls):
            raise InputError(f"{folder.path} holds a {type(model).__name__}, not a {cls.__name__}; load it with that class.")
        return model
