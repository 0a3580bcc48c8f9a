"""Has torch find a GPU that does nothing."""

import torch


def _limit(fraction: float, device: object = None) -> None:
    if not 0 < fraction <= 1:
        raise ValueError(f"a fraction of {fraction}")


torch.cuda.is_available = lambda: True
torch.cuda.synchronize = lambda device=None: None
torch.cuda.empty_cache = lambda: None
torch.cuda.mem_get_info = lambda device=None: (8 << 30, 16 << 30)
torch.cuda.set_per_process_memory_fraction = _limit
