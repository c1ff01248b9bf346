"""SynthVOS: procedural videos of moving, deforming, occluding objects."""

from vosjax.data.synthvos.source import CLASSES, SynthVideo, SynthVos

__all__ = ["CLASSES", "SynthVideo", "SynthVos"]
