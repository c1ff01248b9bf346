"""The matching cue: remembered masks, read where remembered features look alike.

It is an addition of this package and not part of any of the papers. The idea is that of
VideoMatch (Hu et al., ECCV 2018) and FEELVOS (Voigtlaender et al., CVPR 2019): a frame
is compared with the first one everywhere, and with the latest ones nearby.

Axes: `r s` rows and columns of the keys, those of the features or fewer in large frames
(see `_shrinkage`); `d` channels of a key; `p` all positions of the keys; `m` frames
that a frame is compared with; `n` places for remembered frames; `k` matches.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from vosjax.models.api import Shared
from vosjax.ops import resize
from vosjax.ops.top_k import top_k
from vosjax.types import record

NUM_CUES = 5
_COARSE_MATCHES = 4  # of a coarse cell, which are refined on the fine grid
# Weight of the deeper stage. Chosen, like the lags of the weights in the package, by
# carrying masks through training videos of DAVIS with these keys alone.
_DEEP_SHARE = 0.7
_MAX_POSITIONS = 8192  # of the keys; larger frames have coarser ones
_NO_MATCH = -1e9  # similarity of a cell that must not be matched


@record
class LatestFrames:
  """The latest frames, frame number i of the video in place i % n.

  Attributes:
    keys: features to match; zeros where there was no such frame yet.
    count: frames so far, the first one included.
  """

  keys: Float[Array, "b n r s d"]
  count: Int[Array, " b"]


@record
class MatchingState:
  """What is remembered of each object, and of the latest frames for all of them.

  Attributes:
    first_keys: features of the frame in which the object was given.
    first_masks: its mask there.
    masks: its masks in the latest frames, in their places.
    known: which of them there are; nothing for a new object, see `Matching._known`.
    new: no frame has been segmented since the object was given.
    latest: the latest frames.
  """

  first_keys: Float[Array, "b o r s d"]
  first_masks: Float[Array, "b o r s"]
  masks: Float[Array, "b o n r s"]
  known: Bool[Array, "b o n"]
  new: Bool[Array, "b o"]
  latest: Shared  # of LatestFrames


class Matching(nn.Module):
  """Carries masks from remembered frames to the current one by similarity.

  Keys are unit vectors and are never trained, so nothing passes a gradient but the
  temperatures of the read-outs. They have a bounded number of positions, and those of
  more than `max_cells` are matched in two steps, on a coarser grid and then around the
  best coarse matches, so that the cost of a frame does not grow with the square of its
  size.

  Attributes:
    lags: how many frames ago the frames were that are matched beside the first one;
      begins with 1. As many as the largest lag are remembered.
    top: number of matches that are read in each of them.
    radius: cells of the coarse grid, up to which a latest frame is searched.
    max_cells: of the coarse grid.
  """

  lags: tuple[int, ...]
  top: int = 10
  radius: int = 12
  max_cells: int = 2048

  def setup(self):
    if self.lags[:1] != (1,) or list(self.lags) != sorted(set(self.lags)):
      raise ValueError(
        f"matching_lags is {self.lags}; expected 1 and then ever larger numbers of "
        "frames."
      )
    init = nn.initializers.constant(np.log(0.07))
    # Of the read-outs of all frames, of the first and of the latest one.
    self.log_temperatures = self.param("log_temperatures", init, (3,))

  def init_state(
    self, keys: Float[Array, "b r s d"], masks: Float[Array, "b o h w"]
  ) -> MatchingState:
    """State of objects whose masks are given in this frame.

    `latest` is that of a video which begins with this frame. Objects that are given
    later are put into a state that has its own.
    """
    masks = _pool_masks(masks)
    b, o, r, s = masks.shape
    n = max(self.lags)
    first = jnp.arange(n) == 0
    return MatchingState(
      first_keys=jnp.broadcast_to(keys[:, None], (b, o, *keys.shape[1:])),
      first_masks=masks,
      # In every place: `_known` says in which one it counts.
      masks=jnp.broadcast_to(masks[:, :, None], (b, o, n, r, s)),
      known=jnp.zeros((b, o, n), bool),
      new=jnp.ones((b, o), bool),
      latest=Shared(
        LatestFrames(
          keys=jnp.where(first[None, :, None, None, None], keys[:, None], 0.0),
          count=jnp.ones(b, jnp.int32),
        )
      ),
    )

  def update(
    self,
    state: MatchingState,
    keys: Float[Array, "b r s d"],
    masks: Float[Array, "b o h w"],
  ) -> MatchingState:
    """Puts this frame in the place of the oldest."""
    latest = state.latest.value
    place = latest.count % latest.keys.shape[1]
    put = jax.vmap(lambda old, new, i: old.at[i].set(new))
    put_masks = jax.vmap(lambda old, new, i: old.at[:, i].set(new))
    return MatchingState(
      first_keys=state.first_keys,
      first_masks=state.first_masks,
      masks=put_masks(state.masks, _pool_masks(masks), place),
      known=put_masks(self._known(state), jnp.ones_like(state.new), place),
      new=jnp.zeros_like(state.new),
      latest=Shared(LatestFrames(put(latest.keys, keys, place), latest.count + 1)),
    )

  def correct(
    self,
    state: MatchingState,
    fresh: MatchingState,
    corrected: Bool[Array, "b o"],
    shown: Bool[Array, "b o"],
  ) -> MatchingState:
    """Corrects objects in the newest remembered frame.

    Args:
      state: what is remembered.
      fresh: of `init_state` with that frame and the right masks.
      corrected: objects whose masks are right; what is remembered of them in other
        latest frames is forgotten.
      shown: those of them that are in the frame, which joins their first one.
    """
    latest = state.latest.value
    n = latest.keys.shape[1]
    place = (latest.count - 1) % n
    newest = (jnp.arange(n)[None] == place[:, None])[:, None]  # b 1 n
    masks = jnp.where(corrected[:, :, None, None], fresh.first_masks, 0.0)
    left = 1 - masks.max(1, keepdims=True)  # to other objects
    now = jnp.where(
      corrected[:, :, None, None, None],
      masks[:, :, None],
      jnp.minimum(state.masks, left[:, :, None]),
    )
    joins = self._joining(state, fresh, corrected, shown)
    return MatchingState(
      first_keys=jnp.where(joins[..., None], fresh.first_keys, state.first_keys),
      first_masks=jnp.where(joins, fresh.first_masks, state.first_masks),
      masks=jnp.where(newest[..., None, None], now, state.masks),
      known=jnp.where(corrected[:, :, None], newest, state.known),
      new=state.new & ~corrected,
      latest=state.latest,
    )

  def _joining(
    self,
    state: MatchingState,
    fresh: MatchingState,
    corrected: Bool[Array, "b o"],
    shown: Bool[Array, "b o"],
  ) -> Bool[Array, "b o r s"]:
    """Where an object's first frame gives way to the one that joins it.

    Both share the memory of one frame, because a view that is better than the other
    cannot be told beforehand. A cell of the coarse grid goes to the frame that shows
    the object there; where both or neither do, to either in turn. The whole memory
    goes to the new frame if the object was given in this frame before, and what it has
    been told about this frame before is replaced everywhere.
    """
    _, _, r, s = state.first_masks.shape
    grid = Grid(r, s, self.max_cells)
    old, new = (grid.occupied(x.first_masks) for x in (state, fresh))
    rows, columns = np.indices(grid.coarse_size)
    take = jnp.where(old == new, (rows + columns)[None, None] % 2 == 0, new)
    take = take.repeat(grid.factor, 2).repeat(grid.factor, 3)[:, :, :r, :s]
    take |= state.new[:, :, None, None]
    same = (state.first_keys == fresh.first_keys).all(-1)
    return take & shown[:, :, None, None] | same & corrected[:, :, None, None]

  def __call__(
    self,
    state: MatchingState,
    keys: Float[Array, "b r s d"],
    size: tuple[int, int],
  ) -> Float[Array, "b o h w 5"]:
    """Evidence for each object at each position of a grid of `size`.

    Channels are the object's share among the best matches in all remembered frames, in
    its first one and in the newest one, in [0, 1]; and twice the similarity of the
    best match less one, in its first and in the newest frame. Where the object is not
    known in the newest frame, its first one takes its place.
    """
    keys, state = jax.lax.stop_gradient((keys, state))
    b, o, r, s = state.first_masks.shape
    grid = Grid(r, s, self.max_cells)
    latest = state.latest.value
    places = (latest.count[:, None] - np.array(self.lags)[None]) % max(self.lags)
    pick = jax.vmap(lambda x, i: x[i])
    pick_masks = jax.vmap(lambda x, i: x[:, i])
    first, first_score = grid.nearest(keys, state.first_keys, self.top)  # b o p k
    found, score = grid.nearest(  # b m p k
      keys, pick(latest.keys, places), self.top, self.radius
    )
    first_share = jax.vmap(jax.vmap(_read))(state.first_masks, first)
    read_each = jax.vmap(jax.vmap(jax.vmap(_read), (0, None)))
    shares = read_each(pick_masks(state.masks, places), found)  # b o m p k
    known = pick_masks(self._known(state), places)[:, :, :, None, None]
    scores = jnp.where(known, score[:, None], _NO_MATCH)
    temperatures = jnp.exp(self.log_temperatures)

    def share(scores, shares, temperature):
      weights = nn.softmax(scores / temperature, axis=-1)
      return (weights * shares).sum(-1)

    def over_frames(x):  # b o m p k -> b o p (m k)
      return jnp.moveaxis(x, 2, 3).reshape(b, o, r * s, -1)

    all_scores, all_shares = (
      over_frames(jnp.concatenate([x[:, :, None], y], axis=2))
      for x, y in ((first_score, scores), (first_share, shares))
    )
    newest_score, newest_share = (
      jnp.where(known[:, :, 0], newest, first)
      for newest, first in (
        (score[:, None, 0], first_score),
        (shares[:, :, 0], first_share),
      )
    )
    cues = [
      share(all_scores, all_shares, temperatures[0]),
      share(first_score, first_share, temperatures[1]),
      share(newest_score, newest_share, temperatures[2]),
      2 * first_score[..., 0] - 1,
      2 * newest_score[..., 0] - 1,
    ]
    joined = jnp.stack(cues, axis=-1).reshape(b * o, r, s, NUM_CUES)
    enlarged = resize.enlarge(joined, _shrinkage(*size), size)
    return enlarged.reshape(b, o, *size, NUM_CUES)

  def _known(self, state: MatchingState) -> Bool[Array, "b o n"]:
    """Which masks in the latest frames are known.

    Of a new object it is the mask that was given, which `init_state` has put into all
    places, if it belongs to the newest remembered frame. It does not if the object was
    given in the frame that is being segmented, which `update` remembers later.
    """
    latest = state.latest.value
    n = latest.keys.shape[1]
    place = (latest.count - 1) % n
    newest = jax.vmap(lambda keys, i: keys[i])(latest.keys, place)
    given_there = (state.first_keys == newest[:, None]).all((2, 3, 4))  # b o
    there = (jnp.arange(n)[None] == place[:, None])[:, None] & given_there[:, :, None]
    return jnp.where(state.new[:, :, None], there, state.known)


class Grid:
  """Positions of a feature map, and a coarser grid of at most `max_cells` of them."""

  def __init__(self, rows: int, columns: int, max_cells: int):
    self.size = (rows, columns)
    self.factor = _smallest_factor(rows, columns, max_cells)

  @property
  def coarse_size(self) -> tuple[int, int]:
    """Rows and columns of the coarse grid."""
    rows, columns = (-(-n // self.factor) for n in self.size)
    return rows, columns

  def occupied(self, masks: Float[Array, "b o r s"]) -> Bool[Array, "b o rows columns"]:
    """Which coarse cells show an object."""
    b, o, r, s = masks.shape
    means = _mean_squares(masks.reshape(b * o, r, s, 1), self.factor)
    return (means > 0).reshape(b, o, *self.coarse_size)

  def nearest(
    self,
    queries: Float[Array, "b h w d"],
    keys: Float[Array, "b m h w d"],
    top: int,
    radius: int | None = None,
  ) -> tuple[Int[Array, "b m p k"], Float[Array, "b m p k"]]:
    """The most similar keys of each query, best first: positions and similarities.

    Args:
      queries: unit vectors of one frame.
      keys: unit vectors of `m` frames, in each of which keys are looked for.
      top: number of keys.
      radius: coarse cells up to which keys are searched; None: everywhere.
    """
    coarse = self._coarse_vectors(queries)

    def find(keys: Float[Array, "b h w d"]) -> tuple[Array, Array]:
      count = top if self.factor == 1 else _COARSE_MATCHES
      found = self._match(coarse, self._coarse_vectors(keys), count, radius)
      if self.factor == 1:
        return found
      b, h, w, d = keys.shape
      flat = queries.reshape(b, h * w, d), keys.reshape(b, h * w, d)
      return self._refine(*flat, found[0], top)

    # One frame after the other, so that memory does not grow with their number.
    found = jax.lax.map(find, jnp.moveaxis(keys, 1, 0))
    index, score = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), found)
    return index, score

  def _coarse_vectors(self, x: Float[Array, "b h w d"]) -> Float[Array, "b cells d"]:
    """Unit vectors of the coarse cells."""
    if self.factor > 1:
      x = unit(_mean_squares(x, self.factor))
    return x.reshape(len(x), -1, x.shape[-1])

  def _match(
    self,
    queries: Float[Array, "b cells d"],
    keys: Float[Array, "b cells d"],
    count: int,
    radius: int | None,
  ) -> tuple[Int[Array, "b cells k"], Float[Array, "b cells k"]]:
    similarity = jnp.einsum("bpd,bqd->bpq", queries, keys)
    if radius is not None:
      rows, columns = np.divmod(np.arange(keys.shape[1]), self.coarse_size[1])
      distance = [abs(x[:, None] - x[None]) for x in (rows, columns)]
      far = np.maximum(*distance) > radius
      similarity = jnp.where(far[None], _NO_MATCH, similarity)
    score, index = top_k(similarity, min(count, keys.shape[1]))
    return index, score

  def _refine(
    self,
    queries: Float[Array, "b p d"],
    keys: Float[Array, "b p d"],
    cells: Int[Array, "b cells n"],
    top: int,
  ) -> tuple[Int[Array, "b p k"], Float[Array, "b p k"]]:
    """The best keys in two by two positions of every coarse match.

    A cell may have more positions; tried are those at the place that the query has
    within its own cell.
    """
    (h, w), f, columns = self.size, self.factor, self.coarse_size[1]
    y, x = np.divmod(np.arange(h * w), w)
    cells = cells[:, y // f * columns + x // f]  # b p n
    corners = np.divmod(np.arange(4), 2)
    rows, cols = (
      cell[..., None] * f
      + (np.minimum(position % f, f - 2)[:, None] + corner)[None, :, None]
      for cell, position, corner in (
        (cells // columns, y, corners[0]),
        (cells % columns, x, corners[1]),
      )
    )
    outside = ((rows >= h) | (cols >= w)).reshape(*cells.shape[:2], -1)
    index = jnp.minimum(rows, h - 1) * w + jnp.minimum(cols, w - 1)
    index = index.reshape(outside.shape)  # b p 4n
    candidates = jax.vmap(lambda keys, index: keys[index])(keys, index)
    similarity = jnp.einsum("bpd,bpkd->bpk", queries, candidates)
    similarity = jnp.where(outside, _NO_MATCH, similarity)
    score, best = top_k(similarity, min(top, index.shape[-1]))
    return jnp.take_along_axis(index, best, axis=-1), score


def make_keys(
  stage2: Float[Array, "b h w c2"], stage3: Float[Array, "b h16 w16 c3"]
) -> Float[Array, "b r s d"]:
  """Unit vectors from two stages of a backbone.

  They are at stride 8, or at a multiple of it if the frame is large.
  """
  _, h, w, _ = stage2.shape
  fine = unit(stage2.astype(jnp.float32))
  deep = unit(resize.enlarge(stage3.astype(jnp.float32), 2, (h, w)))
  keys = unit(jnp.concatenate([fine, _DEEP_SHARE * deep], axis=-1))
  shrinkage = _shrinkage(h, w)
  return keys if shrinkage == 1 else unit(_mean_squares(keys, shrinkage))


def cue_logit(cues: Float[Array, "n h w 5"]) -> Float[Array, "n h w"]:
  """The logit of the object's share among the best matches in all frames."""
  share = jnp.clip(cues[..., 0], 0.01, 0.99)
  return jnp.log(share) - jnp.log1p(-share)


def unit(x: Float[Array, "... d"]) -> Float[Array, "... d"]:
  """Vectors of length 1."""
  return x / (jnp.linalg.norm(x, axis=-1, keepdims=True) + 1e-6)


def _shrinkage(rows: int, columns: int) -> int:
  """Rows and columns of a grid that share one key."""
  return _smallest_factor(rows, columns, _MAX_POSITIONS)


def _smallest_factor(rows: int, columns: int, most: int) -> int:
  """By which a grid is divided, rounding up, to have no more positions than `most`."""
  factor = 1
  while -(-rows // factor) * -(-columns // factor) > most:
    factor += 1
  return factor


def _pool_masks(masks: Float[Array, "b o h w"]) -> Float[Array, "b o r s"]:
  """Masks at the positions of the keys."""
  b, o, h, w = masks.shape
  pooled = _mean_squares(masks.reshape(b * o, h, w, 1), _shrinkage(h, w))
  return pooled.reshape(b, o, *pooled.shape[1:3])


def _mean_squares(x: Float[Array, "n h w c"], factor: int) -> Float[Array, "n r s c"]:
  """Means over squares; those at the bottom and right may be cut."""
  _, h, w, _ = x.shape
  x = jnp.pad(x, ((0, 0), (0, -h % factor), (0, -w % factor), (0, 0)), mode="edge")
  return resize.average_pool(x, factor)


def _read(mask: Float[Array, "h w"], index: Int[Array, "p k"]) -> Float[Array, "p k"]:
  return mask.reshape(-1)[index]
