"""Trained networks by one call: `ResUNet.from_pretrained("owner/name", revision)`."""

from __future__ import annotations

from pathlib import Path
from typing import Self, cast

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from resunet.catalogue import find_model
from resunet.errors import InputError
from resunet.hub import Pin, fetch
from resunet.model_folder import WEIGHTS_FILE, ModelFolder


def load_weights(network: nn.Module, folder: ModelFolder) -> nn.Module:
    """Load a folder's weights into the network, strictly; returns it in float32 and eval mode.

    Raises:
        InputError: the weights are missing, damaged or another network's.
    """
    path = folder.check(WEIGHTS_FILE)
    try:
        network.load_state_dict(load_file(path), strict=True)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a valid safetensors file ({error}).") from error
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise InputError(f"The weights in {folder.path} do not fit {type(network).__name__} ({first}).") from error
    return network.float().eval()


class Pretrained:
    """Adds `from_pretrained` to a network class that is built without arguments.

    The Hub library's own mixin (PyTorchModelHubMixin) loads with strict=False and knows no checksum.
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
        folder = find_model(source) if revision is None else fetch(Pin.parse(f"{source}@{revision}"))
        network = cls()
        load_weights(cast(nn.Module, network), folder)
        return network
