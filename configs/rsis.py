"""RSIS's configurations, for `--config=configs/rsis.py[:VARIANT]`."""

from vosjax.train.configs.rsis import get_config

__all__ = ["get_config"]
