"""Resizing of bytes equals Pillow's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from vosjax.models.backbones.resnet import normalise_caffe
from vosjax.ops import antialias


def pillow(image, size):
  resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
  return np.asarray(resized)


@pytest.mark.parametrize(
  ("old", "new"),
  [((48, 85), (47, 47)), ((31, 20), (64, 47)), ((7, 100), (50, 3)), ((9, 9), (9, 5))],
)
def test_every_byte_equals_pillows(old, new):
  image = np.random.RandomState(0).randint(0, 256, (*old, 3)).astype(np.uint8)
  found = jax.jit(antialias.resize_bytes, static_argnums=1)(image[None], new)
  np.testing.assert_array_equal(found[0], pillow(image, new))


def test_frames_of_the_official_test(golden):
  case = golden("cosnet/golden_preprocess.npz")
  frame = case["frame_bgr"][None]
  found = antialias.resize_bytes(frame, (473, 473))
  np.testing.assert_array_equal(found[0, ::3, ::3], case["test_resized_every3"])
  rgb = jnp.asarray(found[..., ::-1], jnp.float32) / 255
  expected = case["test_input_every6"].transpose(1, 2, 0)
  np.testing.assert_allclose(normalise_caffe(rgb)[0, ::6, ::6], expected, atol=3e-5)
  found = antialias.resize_bytes(frame, (97, 97))
  np.testing.assert_array_equal(found[0], case["test_resized_small"])


def test_frames_are_resized_and_restored(golden):
  case = golden("cosnet/golden_preprocess.npz")
  framing = antialias.ResizeTo((120, 214), (97, 97))
  frames = framing.frames(case["frame_bgr"][None].astype(np.float32) / 255)
  np.testing.assert_allclose(frames[0] * 255, case["test_resized_small"], atol=1e-4)
  framing = antialias.ResizeTo((480, 854), (473, 473))
  probs = jnp.asarray(case["output_prob_473"], jnp.float32)[None, None]
  restored = np.asarray(framing.restore(probs))[0, 0]
  np.testing.assert_allclose(
    restored[::4, ::4], case["output_resized_every4"], atol=1e-5
  )
  # The program truncates; what is next to an integer may fall on its other side.
  gray = (255 * restored[::2, ::2]).astype(np.uint8)
  differing = np.abs(gray.astype(int) - case["output_uint8_every2"])
  assert differing.max() <= 1
  assert differing.mean() < 1e-3
