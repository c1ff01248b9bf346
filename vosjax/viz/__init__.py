"""Visualisation of frames and labels, with NumPy and Pillow only."""

from vosjax.labels import palette
from vosjax.viz.colors import bright_palette
from vosjax.viz.overlay import overlay
from vosjax.viz.sheet import contact_sheet, side_by_side

__all__ = ["bright_palette", "contact_sheet", "overlay", "palette", "side_by_side"]
