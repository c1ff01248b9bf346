"""RVOS against the official program; tolerances from its specification."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vosjax
from vosjax.models.backbones import resnet
from vosjax.models.backbones.stages import STAGES
from vosjax.models.modules.conv_lstm import ConvLSTMState
from vosjax.models.rvos import RVOS


def gap(actual, expected):
  """Largest difference as a fraction of the largest expected magnitude."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  return np.abs(actual - expected).max() / np.abs(expected).max()


def last(x):
  """[n c h w] -> [n h w c]."""
  return jnp.moveaxis(jnp.asarray(x), 1, -1)


def first(x):
  return np.moveaxis(np.asarray(x), -1, 1)


def frames_of(case):
  return jnp.asarray(case["frames"] / np.float32(255))


def masks_of(ids, num_objects):
  """[h w] -> [1 o h w]."""
  return jnp.asarray(ids == np.arange(1, num_objects + 1)[:, None, None], jnp.float32)[
    None
  ]


@pytest.fixture(scope="module")
def case_of(shared):
  """A golden file that is too large for this repository."""

  def load(name):
    with np.load(shared / "reference" / "rvos" / f"{name}.npz") as arrays:
      return dict(arrays)

  return load


@pytest.fixture(scope="module")
def segment(official):
  """Frame by frame: probabilities [t o h w] and the last state."""
  encode = jax.jit(
    lambda model, variables, frame: model.apply(variables, frame, method="encode"),
    static_argnums=0,
  )
  step = jax.jit(
    lambda model, variables, state, features: model.apply(
      variables, state, features, state.seen, method="segment"
    ),
    static_argnums=0,
  )

  def run(frames, masks=None, late=None, **fields):
    one_shot = masks is not None
    _, variables = official("rvos", one_shot=one_shot)
    model = RVOS(one_shot=one_shot, **fields)
    encoder = RVOS(one_shot=one_shot)  # compiled once, whatever the other fields
    probs = []
    for t, frame in enumerate(frames):
      features = encode(encoder, variables, frame[None])
      if t == 0:
        state = model.apply(variables, features, masks, method="begin")
      if late and t in late:
        state = model.apply(variables, state, *late[t], method="insert")
      state, prediction = step(model, variables, state, features)
      probs.append(jax.nn.sigmoid(prediction.logits))
      # The next frame after the first sees the annotation again.
      given = masks if one_shot and t == 0 else probs[-1]
      state = model.apply(variables, state, features, given, method="update")
    return np.asarray(jnp.concatenate(probs)), state

  return run


@pytest.mark.parametrize("kind", ["st", "mask"])
@pytest.mark.parametrize("given", ["none", "spatial", "temporal", "both"])
def test_cell(official, golden, kind, given):
  case = golden("rvos/golden_cells.npz")
  model, variables = official("rvos", one_shot=kind == "mask")
  level = {"st": 1, "mask": 2}[kind]
  x = {
    name: last(case[f"{kind}_{name}"])
    for name in ("input", "h_spatial", "c_spatial", "h_temporal")
  }
  for names, absent in (
    (("h_spatial", "c_spatial"), given in ("none", "temporal")),
    (("h_temporal",), given in ("none", "spatial")),
  ):
    x |= {name: jnp.zeros_like(x[name]) for name in names if absent}

  def step(model):
    cell = model.decoder.cells[level]
    upsampled = dict(cell.inputs)["upsampled"]
    gates = cell.read("upsampled", x["input"][..., :upsampled])
    gates += cell.read("skip", x["input"][..., upsampled:], bias=True)
    gates += cell.read("spatial", x["h_spatial"])
    gates += cell.read("temporal", x["h_temporal"])
    if kind == "mask":
      gates += cell.read("mask", last(case["mask_mask"]))
    return cell(gates, x["c_spatial"])

  state = model.apply(variables, method=step)
  assert isinstance(state, ConvLSTMState)
  assert gap(first(state.hidden), case[f"{kind}_{given}_h"]) < 1e-5
  assert gap(first(state.cell), case[f"{kind}_{given}_c"]) < 1e-5


def test_encoder(official, case_of):
  case = case_of("golden_encoder")
  model, variables = official("rvos")
  frame = jnp.asarray(case["frame"][None] / np.float32(255))
  normalised = resnet.normalise(frame)[0, ::16, ::16].transpose(2, 0, 1)
  assert gap(normalised, case["normalized_sample"]) < 1e-6

  def see(model, x):
    return model.encoder(x, train=False), model.encoder.network(resnet.normalise(x))

  skips, stages = jax.jit(
    lambda variables, frame: model.apply(variables, frame, method=see)
  )(variables, frame)
  for n, skip in zip((5, 4, 3, 2), skips, strict=True):
    assert gap(first(skip)[0], case[f"skip{n}"]) < 1e-5
  for n, name in enumerate(STAGES, 1):
    x = first(getattr(stages, name))[0]
    means = x.mean((1, 2), np.float64)
    assert gap(means, case[f"x{n}_channel_mean"]) < 2e-6
    step = 2 if n > 3 else 8
    assert gap(x[::16, ::step, ::step], case[f"x{n}_sample"]) < 1e-5


@pytest.mark.parametrize("kind", ["st", "s", "t"])
def test_zero_shot(segment, case_of, kind):
  case = case_of("golden_zeroshot")
  probs, state = segment(
    frames_of(case), num_objects=4, spatial="s" in kind, temporal="t" in kind
  )
  assert gap(probs, case[f"masks_{kind}"]) < 4e-5
  if kind == "st":
    check_hidden(state, case)


@pytest.mark.parametrize("kind", ["st", "s", "t"])
def test_one_shot_at_an_odd_size(segment, case_of, kind):
  case = case_of("golden_oneshot")
  probs, state = segment(
    frames_of(case),
    masks_of(case["ids"][0], 3),
    spatial="s" in kind,
    temporal="t" in kind,
  )
  assert gap(probs, case[f"masks_{kind}"]) < 1e-4
  if kind == "st":
    check_hidden(state, case)


def check_hidden(state, case):
  for level, hidden in enumerate(state.hidden):
    expected = case[f"hidden_last_frame_obj1_level{level}"]
    assert gap(first(hidden[:, 1])[0], expected) < 5e-5


def test_a_late_object(segment, golden):
  case = golden("rvos/golden_oneshot_late.npz")
  late = {2: (masks_of(case["ids"][2], 3), jnp.array([[False, False, True]]))}
  probs, _ = segment(frames_of(case), masks_of(case["ids"][0], 3), late)
  assert gap(probs, case["masks_st"]) < 8e-5


def test_the_engine_inserts_a_late_object_like_the_official_program(official, golden):
  """With ten slots, of which seven stay free; folded."""
  case = golden("rvos/golden_oneshot_late.npz")
  ids, frames = case["ids"].astype(np.int32), case["frames"]
  _, variables = official("rvos", one_shot=True)
  segmenter = vosjax.VideoSegmenter(RVOS(one_shot=True), variables)
  segmenter.start(frames[0], ids[0])
  for t in range(1, 4):
    result = segmenter.step(frames[t], ids[2] * (ids[2] == 3) if t == 2 else None)
    count = len(result.object_ids)
    assert count == (2 if t == 1 else 3)
    assert gap(result.probs, case["masks_st"][t, :count]) < 8e-5


def test_ten_objects_at_full_size(segment, golden):
  case = golden("rvos/golden_zeroshot_fullsize.npz")
  probs, _ = segment(frames_of(case))
  assert gap(probs[:, :, ::8, ::8], case["masks_st_stride8"]) < 7e-5
  assert gap(probs.mean((2, 3)), case["mean_prob"]) < 1e-5
  assert gap((probs > 0.5).mean((2, 3)), case["area_over_half"]) < 5e-4
