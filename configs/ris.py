"""RIS's configurations, for `--config=configs/ris.py[:VARIANT]`."""

from vosjax.train.configs.ris import get_config

__all__ = ["get_config"]
