"""RVOS's configurations, for `--config=configs/rvos.py[:VARIANT]`."""

from vosjax.train.configs.rvos import get_config

__all__ = ["get_config"]
