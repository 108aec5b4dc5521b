"""Where and in which number format a network is trained."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from resunet.inference.hardware import thread_count


def default_device() -> torch.device:
    """The GPU of this process where there is one (``LOCAL_RANK`` under torchrun), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def configure_threads() -> None:
    """Set PyTorch's thread count; OpenMP alone ignores container quotas."""
    torch.set_num_threads(thread_count())


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 matrix work is done in hardware, so that it is faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def compute_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float32."""
    return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32


def mixed_precision(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Autocast to `dtype`; a no-op for float32."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype)
