"""COSNet's configurations, for `--config=configs/cosnet.py[:VARIANT]`."""

from vosjax.train.configs.cosnet import get_config

__all__ = ["get_config"]
