"""Procedural videos: reproducible, in range, moving, and labelled as rendered."""

import dataclasses
import subprocess
import sys
import zlib
from typing import NamedTuple

import numpy as np
import pytest
from scipy import ndimage

from vosjax.data.synthvos import SynthVos, shapes
from vosjax.data.synthvos.motion import STILL, Camera, Motion, Path
from vosjax.data.synthvos.parts import Part
from vosjax.data.synthvos.render import Canvas, Layer, draw
from vosjax.data.synthvos.scene import MIN_AREA
from vosjax.data.video import Source, Video

SIZE = (64, 96)
LENGTH = 24


@pytest.fixture(scope="module")
def source() -> SynthVos:
  return SynthVos(3, 12, size=SIZE, length=LENGTH)


@pytest.fixture(scope="module")
def clips(source):
  return [video.clip(0, LENGTH) for video in source]


def test_a_source_of_videos(source):
  video = source[0]
  assert isinstance(source, Source) and isinstance(video, Video)
  assert len(source) == 12 and len(video) == len(video.frame_names) == LENGTH
  frames, labels = video.clip(2, 3)
  assert frames.shape == (3, *SIZE, 3) and frames.dtype == np.uint8
  assert labels.shape == (3, *SIZE) and labels.dtype == np.uint8


def test_every_frame_is_the_same_alone_and_in_any_clip(source, clips):
  for index in range(4):
    video, (frames, labels) = source[index], clips[index]
    later_frames, later_labels = video.clip(5, 4)
    np.testing.assert_array_equal(frames[5:9], later_frames)
    np.testing.assert_array_equal(labels[5:9], later_labels)
    for t in (0, 7, 23):
      np.testing.assert_array_equal(video.frame(t), frames[t])
      np.testing.assert_array_equal(video.labels(t), labels[t])


def test_another_process_renders_the_same(source, clips):
  script = (
    "import zlib\n"
    "from vosjax.data.synthvos import SynthVos\n"
    f"source = SynthVos(3, 12, size={SIZE}, length={LENGTH})\n"
    "for index in (0, 1):\n"
    "  frames, labels = source[index].clip(4, 2)\n"
    "  print(zlib.crc32(frames.tobytes()), zlib.crc32(labels.tobytes()))\n"
  )
  output = subprocess.run(
    [sys.executable, "-c", script], capture_output=True, text=True, check=True
  ).stdout.split()
  here = [
    str(zlib.crc32(array.tobytes()))
    for clip in clips[:2]
    for array in (part[4:6] for part in clip)
  ]
  assert output == here


def test_seeds_and_indices_give_different_videos(source):
  other = SynthVos(4, 2, size=SIZE, length=LENGTH)
  frames = [source[0].frame(0), source[1].frame(0), other[0].frame(0)]
  for k in range(3):
    difference = frames[k].astype(float) - frames[k - 1]
    assert np.abs(difference).mean() > 10


def test_length_does_not_change_the_frames(source, clips):
  shorter = SynthVos(3, 5, size=SIZE, length=6)
  for index in range(3):
    np.testing.assert_array_equal(shorter[index].frame(5), clips[index][0][5])


def test_ids_are_those_of_the_first_frame_and_all_are_large_there(clips):
  for _, labels in clips:
    ids, areas = np.unique(labels[0], return_counts=True)
    objects = (ids > 0) & (ids < 255)
    count = objects.sum()
    assert 1 <= count <= 5
    assert ids[objects].tolist() == list(range(1, count + 1))
    assert areas[objects].min() >= 0.95 * MIN_AREA * SIZE[0] * SIZE[1]  # less void
    assert set(np.unique(labels)) <= set(ids) | {0, 255}


def test_the_number_of_objects_varies_and_obeys_its_limit(clips):
  counts = [len(set(np.unique(labels[0])) - {0, 255}) for _, labels in clips]
  assert min(counts) == 1 and max(counts) >= 4
  two = SynthVos(3, 6, size=(48, 64), length=2, max_objects=2)
  assert max(max(video.classes) for video in two) == 2


def test_frames_use_the_range_and_are_textured(clips):
  means = [frames.mean() for frames, _ in clips]
  assert 50 < np.mean(means) < 160 and np.std(means) > 15
  for frames, _ in clips:
    assert frames[0].std() > 5


def test_copying_the_first_mask_scores_poorly_but_neighbours_overlap(clips):
  def overlap(a, b, valid):
    union = ((a | b) & valid).sum()
    return (a & b & valid).sum() / union if union else 1.0

  copied, neighbours = [], []
  for _, labels in clips:
    for k in set(np.unique(labels[0])) - {0, 255}:
      masks, valid = labels == k, labels != 255
      for t in range(1, LENGTH):
        copied.append(overlap(masks[0], masks[t], valid[t]))
        neighbours.append(overlap(masks[t - 1], masks[t], valid[t]))
  assert 0.2 < np.mean(copied) < 0.45
  assert 0.65 < np.mean(neighbours) < 0.9


def test_void_is_a_thin_band_at_the_outline_of_some_videos(clips):
  marked = 0
  for index, (_, labels) in enumerate(clips):
    void = labels == 255
    marked += void.any()
    # Hardly anything survives three erosions, even of bands of blurred motion.
    cross = ndimage.generate_binary_structure(3, 1)
    cross[[0, 2]] = False
    core = ndimage.binary_erosion(void, cross, iterations=3)
    assert core.mean() < 2e-4, f"video {index}"
  assert 0.25 < marked / len(clips) < 0.75


def test_void_covers_only_what_is_mixed():
  with_void = SynthVos(5, 4, size=(48, 64), length=2, void=1.0)
  without = dataclasses.replace(with_void, void=0.0)
  for index in range(4):
    frames, labels = with_void[index].clip(0, 2)
    clean_frames, clean = without[index].clip(0, 2)
    np.testing.assert_array_equal(frames, clean_frames)
    assert 0 < (labels == 255).mean() < 0.1
    assert not (clean == 255).any()
    np.testing.assert_array_equal(labels[labels < 255], clean[labels < 255])


def test_some_objects_leave_and_come_back(clips):
  returns = 0
  for _, labels in clips:
    for k in set(np.unique(labels[0])) - {0, 255}:
      area = (labels == k).sum(axis=(1, 2))
      hidden = np.flatnonzero(area < 0.3 * area[0])
      returns += len(hidden) > 0 and (area[hidden[0] :] > 0.5 * area[0]).any()
  assert returns >= 1


def test_late_objects_enter_after_the_first_frame():
  source = SynthVos(8, 6, size=(48, 64), length=12, late_objects=1.0)
  late = 0
  for video in source:
    labels = np.stack([video.labels(t) for t in (0, 7, 11)])
    first = set(np.unique(labels[0])) - {0, 255}
    assert first
    late += bool(set(np.unique(labels)) - first - {0, 255})
  assert late >= 4


def test_faster_videos_move_more():
  def travel(speed):
    source = SynthVos(2, 8, size=(48, 64), length=3, max_objects=1, speed=speed)
    changed = [np.diff(video.clip(0, 3)[1] == 1, axis=0).mean() for video in source]
    return np.mean(changed)

  assert travel(2.0) > 1.3 * travel(0.7)


# A single square part, whose geometry can be checked exactly.


def square(value: float, half: int = 10) -> Part:
  y, x = np.mgrid[-half - 4 : half + 5, -half - 4 : half + 5].astype(np.float32)
  inside = half - np.maximum(np.abs(y), np.abs(x))
  colours = np.full((*inside.shape, 3), 255 * value, np.uint8)
  return Part(colours, complex(half + 4, half + 4), inside)


def resting(place: complex, move: Path = STILL) -> Motion:
  return Motion(place, move, 0.0, STILL, STILL)


CAMERA = Camera(32 + 32j, STILL, STILL, STILL, STILL, 0.0)


class Drawn(NamedTuple):
  """Frames [t h w 3], labels [t h w] and mixed pixels [t h w]."""

  frames: np.ndarray
  labels: np.ndarray
  mixed: np.ndarray


def drawn(*layers: Layer, camera=CAMERA, t=(0.0,)) -> Drawn:
  canvases = [Canvas((64, 64), colours=True, labels=True, mixed=True) for _ in t]
  for layer in layers:
    draw(canvases, layer, camera.views(np.array(t)), np.array(t), np.array(t))
  kinds = [(c.image.convert("RGB"), c.labels, c.mixed) for c in canvases]
  frames, labels, mixed = (np.stack(list(map(np.asarray, k))) for k in zip(*kinds))
  return Drawn(frames, labels, mixed > 0)


def test_a_part_lands_where_its_pose_says():
  canvas = drawn(Layer([square(0.5)], resting(30 + 20j), label=1))
  ys, xs = np.nonzero(canvas.labels[0])
  assert (ys.min(), ys.max(), xs.min(), xs.max()) == (11, 29, 21, 39)
  assert (canvas.frames[0, 12:29, 22:39] == 127).all()
  assert (canvas.frames[0, 11:30, 21:40] > 0.9 * 127).all()


def test_the_later_layer_hides_the_earlier_one():
  back = Layer([square(0.2)], resting(28 + 32j), label=1)
  front = Layer([square(0.9)], resting(36 + 32j), label=2)
  canvas = drawn(back, front)
  assert canvas.labels[0, 32, 30] == 2 and canvas.labels[0, 32, 20] == 1
  assert canvas.frames[0, 32, 30].tolist() == [229] * 3
  other = drawn(front, back)
  assert other.labels[0, 32, 30] == 1


def test_an_occluder_removes_the_label():
  thing = Layer([square(0.2)], resting(28 + 32j), label=1)
  occluder = Layer([square(0.9)], resting(36 + 32j), label=0)
  canvas = drawn(thing, occluder)
  assert canvas.labels[0, 32, 30] == 0 and canvas.labels[0, 32, 20] == 1


def test_only_borders_between_different_ids_are_mixed():
  one = Layer([square(0.2)], resting(28 + 32j), label=1)
  same = Layer([square(0.9)], resting(36 + 32j), label=1)
  assert not drawn(one, same).mixed[0, 26:38, 22:42].any()
  other = dataclasses.replace(same, label=2)
  mixed = drawn(one, other).mixed[0]
  assert mixed[26:38, 26].all() and not mixed[26:38, 30].any()


def test_the_camera_moves_near_things_more_than_far_ones():
  pan = Path(np.array([6.0 + 0j]), np.array([np.pi / 2]), np.zeros(1))
  camera = dataclasses.replace(CAMERA, pan=pan)

  def middle(parallax):
    thing = Layer([square(0.5)], resting(32 + 32j), label=1, parallax=parallax)
    labels = drawn(thing, camera=camera, t=(0.0, 1.0)).labels
    return [np.nonzero(frame)[1].mean() for frame in labels]

  assert middle(1.0) == [32, 26]
  assert middle(0.5) == [32, 29]
  assert middle(2.0) == [32, 20]


def test_a_rippled_part_is_bent_as_its_formula_says():
  y, x = np.mgrid[:64, :64].astype(float)
  height, waves, rate = 3.0, 0.3, 0.5
  part = dataclasses.replace(square(0.5), ripple=(height, waves, rate))
  for t in (0.0, 2.0):
    v = y - 30 + height * np.sin(waves * (x - 33) + rate * t)
    u = x - 33 + height * np.sin(waves * v + 1.3 * rate * t)
    distance = 10 - np.maximum(np.abs(u), np.abs(v))
    labels = drawn(Layer([part], resting(33 + 30j), label=1), t=(t,)).labels[0]
    clear = np.abs(distance) > 0.8  # the others may be rounded either way
    np.testing.assert_array_equal(labels[clear] == 1, distance[clear] > 0)
    straight = drawn(Layer([square(0.5)], resting(33 + 30j), label=1)).labels[0]
    assert ((straight == 1) != (distance > 0))[clear].sum() > 50


def test_a_background_at_rest_is_shown_as_it_is():
  colours = np.random.default_rng(0).integers(0, 256, (80, 90, 3)).astype(np.uint8)
  frame = drawn(Layer([Part(colours, 5 + 7j)], resting(0j))).frames[0]
  middle = drawn(Layer([Part(colours, 32 + 32j)], resting(32 + 32j))).frames[0]
  np.testing.assert_array_equal(middle, colours[:64, :64])
  np.testing.assert_array_equal(frame, colours[7:71, 5:69])


def test_a_carried_part_moves_with_its_carrier():
  turn = Path(np.array([np.pi / 2]), np.array([np.pi / 2]), np.zeros(1))
  upper = dataclasses.replace(square(0.5), swing=turn)
  lower = dataclasses.replace(square(0.5), joint=20 + 0j, carrier=upper)
  pose = lower.pose(np.array([0.0, 1.0]))
  np.testing.assert_allclose(pose.shift, [20, 20j], atol=1e-12)
  np.testing.assert_allclose(pose.turn, [1, 1j], atol=1e-12)


@pytest.mark.parametrize(
  "fields, name",
  [
    ({"size": (8, 160)}, "size"),
    ({"max_objects": 0}, "max_objects"),
    ({"length": 0}, "length"),
    ({"num_videos": 0}, "num_videos"),
  ],
)
def test_wrong_fields_are_named(fields, name):
  with pytest.raises(ValueError, match=name):
    SynthVos(**({"seed": 0, "num_videos": 1, "size": SIZE, "length": 2} | fields))


def test_positions_outside_are_refused(source):
  with pytest.raises(IndexError, match="video 12 of 12"):
    source[12]
  with pytest.raises(IndexError, match="0 to 23"):
    source[0].clip(20, 5)


def test_objects_are_of_the_requested_kinds():
  videos = list(SynthVos(5, 12, size=(48, 64), length=1, clutter=0.0))
  assert {c for video in videos for c in video.classes.values()} == {1, 2, 3, 4}
  for video in videos[:4]:
    ids = set(np.unique(video.labels(0))) - {0, 255}
    assert ids <= set(video.classes) == set(range(1, len(video.classes) + 1))
  rods = SynthVos(5, 4, size=(48, 64), length=1, kinds=("rod",))
  assert {c for video in rods for c in video.classes.values()} == {4}
  with pytest.raises(ValueError, match="kinds"):
    SynthVos(0, 1, size=(48, 64), length=1, kinds=("cube",))


def test_a_plain_background_has_nothing_in_it():
  source = SynthVos(5, 3, size=(48, 64), length=1, plain=1.0, clutter=0.0)
  for video in source:
    wall = video.scene.layers[0].parts[0].colours
    steps = np.diff(wall.astype(int), axis=1)
    assert wall.mean() > 127 and np.abs(steps).max() < 25


def test_camouflaged_objects_have_the_colours_of_the_background():
  near = [np.tile(np.float32([[0.9, 0.1, 0.1]]), (256, 1))]

  def redness(camouflage):
    found = []
    for seed in range(30):
      rng = np.random.default_rng(seed)
      parts = shapes.thing(rng, 20.0, near, ("rod",), camouflage)[1]
      colour = parts[0].colours.mean((0, 1))
      found.append(colour[0] / colour.sum())
    return np.mean(found)

  assert redness(1.0) > redness(0.0) + 0.1
