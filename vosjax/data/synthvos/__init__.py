"""SynthVOS: procedural videos of moving, deforming, occluding objects."""

from vosjax.data.synthvos.source import SynthVos, Video

__all__ = ["SynthVos", "Video"]
