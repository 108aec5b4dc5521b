"""Temporary."""
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from PIL import Image

@dataclass(frozen=True)
class Scan:
    slices: np.ndarray

def read_scan(source):
    return Scan(np.asarray(Image.open(source))[None])

def read_mask(source):
    return np.asarray(Image.open(source)) > 127
