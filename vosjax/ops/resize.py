"""Resizing, pooling and padding of channels-last images `[n h w c]`."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vosjax.types import AnyArray


def bilinear(
  x: Float[Array, "n h w c"],
  size: tuple[int, int],
  *,
  align_corners: bool = False,
) -> Float[Array, "n height width c"]:
  """Bilinear interpolation to `size` rows and columns, without antialiasing.

  Args:
    x: images.
    size: rows and columns of the result.
    align_corners: the centres of the corner pixels stay in place; otherwise the outer
      corners of the image do (half-pixel centres, edges clamped).
  """
  n, h, w, c = x.shape
  shape = (n, *size, c)
  if not align_corners:
    return jax.image.resize(x, shape, "bilinear", antialias=False)
  rows, columns = (
    jnp.asarray(_corner_weights(old, out), x.dtype) for old, out in zip((h, w), size)
  )
  if c == 1:  # without a channel axis this takes half the time on CPU
    x = jnp.einsum("nhw,Hh->nHw", x[..., 0], rows)
    return jnp.einsum("nHw,Ww->nHW", x, columns)[..., None]
  x = jnp.einsum("nhwc,Hh->nHwc", x, rows)
  return jnp.einsum("nhwc,Ww->nhWc", x, columns)


def enlarge(
  x: Float[Array, "n h w c"], factor: int, size: tuple[int, int]
) -> Float[Array, "n height width c"]:
  """Bilinear interpolation by a whole factor, cut to `size` at the bottom and right.

  Features of a frame whose sides are no multiples of their stride cover a little more
  than the frame, so that to resize them to `size` would shift them.
  """
  n, h, w, c = x.shape
  x = bilinear(x, (factor * h, factor * w))
  return x[:, : size[0], : size[1]]


def _corner_weights(old: int, out: int) -> np.ndarray:
  """Weight [out old] of each old sample in each new one; first and last are kept."""
  position = np.linspace(0, old - 1, out)
  return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(old)[None]))


def average_pool(
  x: Float[Array, "n h w c"], window: int
) -> Float[Array, "n height width c"]:
  """Mean over non-overlapping squares of `window` pixels."""
  n, h, w, c = x.shape
  if h % window or w % window:
    raise ValueError(
      f"average_pool(): {h}x{w} pixels are not divisible into {window}x{window} "
      "squares. Pad to a multiple first (ops.resize.PadToMultiple)."
    )
  return x.reshape(n, h // window, window, w // window, window, c).mean((2, 4))


def max_pool_3x3(
  x: Float[Array, "n h w c"], *, ceil: bool = False
) -> Float[Array, "n height width c"]:
  """Max-pool of the ResNet stem: 3x3, stride 2, one pixel of padding.

  Rows and columns are pooled one after the other with strided slices, which XLA
  fuses; on CPU this is several times faster than `reduce_window`.

  Args:
    x: images.
    ceil: round sizes up, so that the last window may extend beyond the image.
  """
  for axis in (1, 2):
    size = x.shape[axis]
    out = (size - 1 + ceil) // 2 + 1
    pad = [(0, 0)] * 4
    pad[axis] = (1, 2 * out - size)
    padded = jnp.pad(x, pad, constant_values=-jnp.inf)
    taps = [
      jax.lax.slice_in_dim(padded, i, i + 2 * out - 1, stride=2, axis=axis)
      for i in range(3)
    ]
    x = jnp.maximum(jnp.maximum(taps[0], taps[1]), taps[2])
  return x


def max_pool_2x2(x: Float[Array, "n h w c"]) -> Float[Array, "n height width c"]:
  """Max over non-overlapping 2x2 squares; sizes round up, the last may be cut."""
  n, h, w, c = x.shape
  pad = ((0, 0), (0, h % 2), (0, w % 2), (0, 0))
  x = jnp.pad(x, pad, constant_values=-jnp.inf)
  return x.reshape(n, (h + 1) // 2, 2, (w + 1) // 2, 2, c).max((2, 4))


class PadToMultiple:
  """Pads images by reflection until both sides are multiples of a number.

  Of the `p` pixels that an axis lacks, `ceil(p / 2)` are added in front.

  Args:
    original_size: rows and columns of the images.
    multiple: of which the padded sides are multiples.

  Attributes:
    framed_size: rows and columns after padding.
  """

  def __init__(self, original_size: tuple[int, int], multiple: int):
    h, w = original_size
    self.original_size: tuple[int, int] = (h, w)
    self.framed_size: tuple[int, int] = (h + -h % multiple, w + -w % multiple)
    self._pads = tuple(((-n % multiple + 1) // 2, (-n % multiple) // 2) for n in (h, w))

  def frames(self, x: Float[AnyArray, "n h w c"]) -> Float[Array, "n height width c"]:
    """Pads images of the original size."""
    return jnp.pad(x, ((0, 0), *self._pads, (0, 0)), mode="reflect")

  def masks(self, x: Float[AnyArray, "b o h w"]) -> Float[Array, "b o height width"]:
    """Pads masks of the original size."""
    return jnp.pad(x, ((0, 0), (0, 0), *self._pads), mode="reflect")

  def restore(self, x: Float[Array, "b o height width"]) -> Float[Array, "b o h w"]:
    """Crops predictions of the framed size to the original size."""
    (top, _), (left, _) = self._pads
    return x[
      :, :, top : top + self.original_size[0], left : left + self.original_size[1]
    ]


class EnlargeAndPad:
  """Enlarges small images by a whole factor, then pads them as `PadToMultiple` does.

  Args:
    original_size: rows and columns of the images.
    factor: on rows and columns.
    multiple: of which the framed sides are multiples.
  """

  def __init__(self, original_size: tuple[int, int], factor: int, multiple: int):
    h, w = original_size
    self.original_size: tuple[int, int] = (h, w)
    self._factor = factor
    self._padding = PadToMultiple((factor * h, factor * w), multiple)
    self.framed_size = self._padding.framed_size

  def frames(self, x: Float[AnyArray, "n h w c"]) -> Float[Array, "n height width c"]:
    """Images of `original_size` at the framed size, by cubic interpolation."""
    shape = (len(x), *self._padding.original_size, x.shape[-1])
    enlarged = jax.image.resize(x, shape, "cubic", antialias=False)
    return self._padding.frames(jnp.clip(enlarged, 0, 1))

  def masks(self, x: Float[AnyArray, "b o h w"]) -> Float[Array, "b o height width"]:
    """Masks of `original_size` at the framed size, by bilinear interpolation."""
    b, o, h, w = x.shape
    enlarged = bilinear(
      jnp.asarray(x).reshape(b * o, h, w, 1), self._padding.original_size
    )
    return self._padding.masks(enlarged.reshape(b, o, *enlarged.shape[1:3]))

  def restore(self, x: Float[Array, "b o height width"]) -> Float[Array, "b o h w"]:
    """Predictions at `original_size`: means over the pixels of each original one."""
    x = self._padding.restore(x)
    b, o, h, w = x.shape
    pooled = average_pool(x.reshape(b * o, h, w, 1), self._factor)
    return pooled.reshape(b, o, *self.original_size)
