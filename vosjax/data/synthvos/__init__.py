"""SynthVOS: procedural videos of moving, deforming, occluding objects."""

from vosjax.data.synthvos.settings import PRIMARY, REAL, Settings
from vosjax.data.synthvos.source import CLASSES, SynthVideo, SynthVos

__all__ = ["CLASSES", "PRIMARY", "REAL", "Settings", "SynthVideo", "SynthVos"]
