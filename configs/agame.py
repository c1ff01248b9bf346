"""A-GAME's configurations, for `--config=configs/agame.py[:VARIANT]`."""

from vosjax.train.configs.agame import get_config

__all__ = ["get_config"]
