"""RVOS's augmentation: one random affine map for a whole clip.

Source: the released program of Ventura et al., CVPR 2019.
"""

import dataclasses

import grain
import numpy as np
from jaxtyping import Float

from vosjax.data.video import Clip


@dataclasses.dataclass(frozen=True)
class RandomAffine(grain.transforms.RandomMap):
  """One random affine map for a whole clip, frames and labels, by the nearest pixel.

  The map is the product of rotation, translation, shear and zoom, in this order, about
  the centre of the frame. It maps output to input pixels, so that zoom above 1 shrinks.
  Pixels outside the frame repeat its border.

  Attributes:
    rotation: largest angle, in degrees.
    translation: largest shift, as a fraction of the rows and of the columns.
    shear: largest angle, in degrees; the released program's is hardly visible.
    zoom: range of the factor, which is drawn for rows and columns separately.
  """

  rotation: float = 10.0
  translation: float = 0.1
  shear: float = 0.1
  zoom: tuple[float, float] = (0.7, 1.4)

  def random_map(self, clip: Clip, rng: np.random.Generator) -> Clip:
    """The clip under a random map."""
    h, w = clip["labels"].shape[1:]
    angle, shear = np.deg2rad([rng.uniform(-x, x) for x in (self.rotation, self.shear)])
    shift = rng.uniform(-self.translation, self.translation, 2) * (h, w)
    matrix = _matrix(angle, shift, shear, rng.uniform(*self.zoom, 2))
    rows, columns = _nearest(matrix, (h, w))
    return clip | {
      "frames": clip["frames"][:, rows, columns],
      "labels": clip["labels"][:, rows, columns],
    }


def _matrix(
  angle: float, shift: np.ndarray, shear: float, zoom: np.ndarray
) -> Float[np.ndarray, "3 3"]:
  """The map from output to input, on (row, column, 1) about the centre."""
  cos, sin = np.cos(angle), np.sin(angle)
  rotate = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
  translate = np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])
  slant = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
  return rotate @ translate @ slant @ np.diag([*zoom, 1])


def _nearest(
  matrix: Float[np.ndarray, "3 3"], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
  """Row and column, each [h w], of the input pixel that each output pixel copies."""
  centre = (np.array(size) - 1) / 2
  grid = np.indices(size).reshape(2, -1) - centre[:, None]
  read = matrix[:2, :2] @ grid + (matrix[:2, 2] + centre)[:, None]
  last = np.array(size)[:, None] - 1
  rows, columns = np.rint(read).clip(0, last).astype(np.intp).reshape(2, *size)
  return rows, columns
