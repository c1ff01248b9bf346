"""What real video asks: each look is there when it is on, and absent when it is off."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import ndimage

from vosjax.data.synthvos import PRIMARY, REAL, Settings, SynthVos, looks
from vosjax.data.synthvos.lens import CLEAR

LOOKS = tuple(name for name in looks.NAMES if name != "variety")
SIZE = (72, 120)
LENGTH = 8


def videos(count=10, **settings):
  """Videos of one object before a quiet background."""
  plain = {"max_objects": 1, "clutter": 0.0, "void": 0.0} | settings
  return list(SynthVos(2, count, size=SIZE, length=LENGTH, **plain))


def masks(video):
  return video.scene.label(np.arange(LENGTH)) == 1


def parts(video):
  return [part for layer in video.scene.layers if layer.label for part in layer.parts]


@pytest.fixture(scope="module")
def without():
  return videos()


@pytest.fixture(scope="module")
def real():
  return SynthVos(4, 8, size=SIZE, length=LENGTH, **dataclasses.asdict(REAL))


def test_all_looks_are_off_by_default_and_on_for_real_video():
  for name in looks.NAMES:
    assert getattr(Settings(), name) == 0 < getattr(PRIMARY, name)
    assert name == "subject" or getattr(REAL, name) > 0


def test_a_video_about_one_thing_shows_it_near_the_middle(without):
  def offset(video):
    rows, columns = np.nonzero(masks(video)[0])
    middle = np.array([SIZE[0] / 2, SIZE[1] / 2])
    return np.abs((rows.mean(), columns.mean()) - middle) / SIZE

  anywhere = np.mean([offset(video) for video in without])
  assert np.mean([offset(video) for video in videos(subject=1.0)]) < 0.7 * anywhere


def test_background_things_rest_in_a_video_about_one_thing():
  def moving(**settings):
    layers = [
      layer
      for video in videos(20, clutter=1.0, **settings)
      for layer in video.scene.layers[1:]
      if not layer.label and layer.parallax == 1
    ]
    times = np.arange(float(LENGTH))
    moves = [np.abs(layer.motion.move(times)).max() for layer in layers]
    return np.mean(np.array(moves) > 0)

  assert moving(subject=1.0) < 0.4 < moving()


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_changes_the_videos_that_have_it(name, without):
  changed = 0
  for video, other in zip(without[:5], videos(5, **{name: 1.0})):
    frames, others = (each.clip(0, LENGTH)[0] for each in (video, other))
    changed += (frames != others).any()
  assert changed == 5


def test_a_look_leaves_the_rest_of_the_scene_as_it_is(without):
  for video, other in zip(without[:4], videos(4, thin=1.0)):
    ground, same = (v.scene.layers[0].parts[0].colours for v in (video, other))
    np.testing.assert_array_equal(ground, same)
    starts = [v.scene.layers[1].motion.start for v in (video, other)]
    assert starts[0] == starts[1]


def test_approaching_objects_change_in_size(without):
  def growth(video):
    scale = np.abs(video.scene.layers[1].motion(np.array([0.0, LENGTH])).turn)
    return max(scale) / min(scale)

  assert max(map(growth, without)) < 1.3
  near = [growth(video) for video in videos(approach=1.0)]
  assert np.median(near) > 1.3 and 1.8 < max(near) < 4.5
  ratios = []
  for video in videos(approach=1.0):
    area = masks(video).sum((1, 2))
    ratios.append(max(area[0], area[-1]) / max(min(area[0], area[-1]), 1))
  assert np.median(ratios) > 1.4


def test_approaching_objects_start_at_the_size_of_others(without):
  def area(some):
    return np.median([masks(video)[0].sum() for video in some])

  assert 0.6 < area(videos(approach=1.0)) / area(without) < 1.6


def test_turning_objects_show_other_surfaces(without):
  def change(video):
    shown = []
    for t in (0, LENGTH - 1):
      inside = video.labels(t) == 1
      shown.append(video.frame(t)[inside].mean(axis=0) if inside.any() else np.zeros(3))
    return np.abs(shown[0] - shown[1]).max()

  turned = videos(turning=1.0)
  assert any(part.slide.amplitude.any() for v in turned for part in parts(v))
  assert not any(part.slide.amplitude.any() for v in without for part in parts(v))
  assert np.mean([*map(change, turned)]) > 2 * np.mean([*map(change, without)])


def test_parts_come_out_from_behind_turning_objects(without):
  def hidden(video):
    return [part for part in parts(video) if part.shift.amplitude.any()]

  assert not any(map(hidden, without))
  turned = [video for video in videos(turning=1.0) if hidden(video)]
  assert len(turned) >= 3
  for video in turned:
    part = hidden(video)[0]
    assert part.pose(np.zeros(1)).shift[0] == part.joint
    assert abs(part.pose(np.array([6.0])).shift[0] - part.joint) > 1


def test_thin_parts_are_thin_and_labelled(without):
  def thinness(video):
    mask = masks(video)[0]
    return 1 - ndimage.binary_opening(mask, iterations=2).sum() / mask.sum()

  thin = videos(thin=1.0)
  assert all(any(part.carrier for part in parts(video)) for video in thin)
  assert not any(part.carrier for video in without for part in parts(video))
  more = [thinness(b) - thinness(a) for a, b in zip(without, thin)]
  assert np.mean(more) > 0.04


def test_twins_lie_beside_an_object_and_have_its_colours(without):
  def colour(layer):
    shades = [part.colours.reshape(-1, 3) for part in layer.parts]
    return np.concatenate(shades).mean(axis=0)

  assert all(len(video.scene.layers) == 2 for video in without)
  pairs = []
  for video in videos(twins=1.0):
    thing, twin = sorted(video.scene.layers[1:], key=lambda layer: -layer.label)
    assert twin.label == 0 and twin.kind == thing.kind
    gap = abs(twin.motion.start - thing.motion.start)
    assert 1.1 < gap / looks.bulk(thing) < 3.1
    pairs.append((colour(thing), colour(twin)))
  own, other = (np.array(each) for each in zip(*pairs))
  apart = np.abs(own[1:] - other[:-1]).mean()  # things of different videos
  assert np.abs(own - other).mean() < 0.5 * apart


def test_passing_things_hide_objects_or_objects_leave(without):
  def least(video):
    area = masks(video).sum((1, 2))
    return area.min() / area[0]

  assert np.mean([least(video) < 0.5 for video in videos(20, passing=1.0)]) > 0.3
  assert np.mean([least(video) < 0.5 for video in without]) < 0.2


def test_footage_is_shaken_blurred_and_compressed(without):
  def pace(video):
    view = video.scene.camera.views(np.arange(LENGTH, dtype=float))(1.0)
    return np.abs(np.diff(view.shift)).mean()

  shaken = videos(footage=1.0)
  assert np.mean([*map(pace, shaken)]) > 1.5 * np.mean([*map(pace, without)])
  lenses = [video.scene.lens for video in shaken]
  assert sum(lens.shutter > 0.3 for lens in lenses) >= 4
  assert sum(0 < lens.quality < 70 for lens in lenses) >= 5


def test_sizes_and_speeds_vary(without):
  def spread(some):
    return np.std([np.log(masks(video)[0].sum()) for video in some])

  assert spread(videos(variety=1.0)) > 1.2 * spread(without)


def test_labels_show_the_middle_of_the_exposure():
  blurred = 0
  for video in videos(footage=1.0, speed=3.0, thin=1.0):
    scene, index = video.scene, np.arange(LENGTH)
    if scene.lens.shutter:
      sharp = dataclasses.replace(scene.lens, shutter=0.0)
      frames, labels = scene.render(index)
      clear, same = dataclasses.replace(scene, lens=sharp).render(index)
      np.testing.assert_array_equal(labels, same)
      np.testing.assert_array_equal(labels, scene.label(index))
      blurred += (frames != clear).any()
  assert blurred >= 4


def test_labels_are_where_most_of_a_pixel_is_covered():
  """White objects on black, with everything that bends and hides them."""
  settings = {"thin": 1.0, "turning": 1.0, "approach": 1.0}
  for video in videos(6, **settings):
    scene = video.scene
    layers = []
    for layer in scene.layers:
      shade = 255 if layer.label else 0
      shades = [
        dataclasses.replace(part, colours=np.full_like(part.colours, shade))
        for part in layer.parts
      ]
      layers.append(dataclasses.replace(layer, parts=shades, shadow=0.0))
    white = dataclasses.replace(scene, layers=tuple(layers), lens=CLEAR)
    frames, labels = white.render(np.arange(0, LENGTH, 3))
    for bright, label in zip(frames[..., 0] > 127, labels == 1):
      differ = bright != label  # where two parts together cover half of a pixel
      edge = ndimage.binary_dilation(label) & ~ndimage.binary_erosion(label)
      assert not (differ & ~edge).any()
      assert differ.sum() < 0.1 * edge.sum() + 1


def test_real_frames_are_the_same_alone_in_any_clip_and_anew(real):
  again = SynthVos(4, 8, size=SIZE, length=LENGTH, **dataclasses.asdict(REAL))
  for index in range(4):
    frames, labels = real[index].clip(0, LENGTH)
    later, ids = again[index].clip(3, 4)
    np.testing.assert_array_equal(frames[3:7], later)
    np.testing.assert_array_equal(labels[3:7], ids)
    np.testing.assert_array_equal(again[index].frame(7), frames[7])
    np.testing.assert_array_equal(again[index].labels(7), labels[7])


def test_real_videos_overlap_as_real_ones_do(real):
  """Neighbouring masks of DAVIS 2016's training videos overlap by 0.77, on average."""
  overlaps, areas = [], []
  for video in real:
    labels = video.scene.label(np.arange(LENGTH))
    for k in set(np.unique(labels[0])) - {0}:
      mask = labels == k
      areas.append(mask[0].mean())
      both, either = mask[1:] & mask[:-1], mask[1:] | mask[:-1]
      overlaps += list(both.sum((1, 2)) / np.maximum(either.sum((1, 2)), 1))
  assert 0.5 < np.mean(overlaps) < 0.85
  assert 0.03 < np.mean(areas) < 0.16


def test_a_followed_object_stays_in_view():
  """Its centre is outside for less than half of the time without following."""
  t = np.arange(24.0)

  def lost(scene, camera):
    [layer] = (layer for layer in scene.layers if layer.label)
    centre = (camera.views(t)(layer.parallax) @ layer.motion(t)).shift
    down, right = centre.imag / SIZE[0], centre.real / SIZE[1]
    return np.mean((np.minimum(down, right) < 0) | (np.maximum(down, right) > 1))

  shares = []
  for video in videos(40, footage=1.0, speed=2.0):
    camera = video.scene.camera
    if camera.follow >= 0.5:
      unmoved = dataclasses.replace(camera, follow=0.0)
      shares.append([lost(video.scene, each) for each in (camera, unmoved)])
  assert 10 < len(shares) < 30
  followed, unmoved = np.mean(shares, axis=0)
  assert followed < 0.05 and followed < 0.5 * unmoved


def test_the_random_numbers_of_a_look_are_the_same_whichever_others_are_on():
  others = {"thin": 1.0, "turning": 1.0, "twins": 1.0, "passing": 1.0}
  for video, same in zip(videos(4, footage=1.0), videos(4, footage=1.0, **others)):
    (camera, lens), (same_camera, same_lens) = (
      (each.scene.camera, each.scene.lens) for each in (video, same)
    )
    np.testing.assert_array_equal(camera.pan.phase, same_camera.pan.phase)
    assert camera.follow == same_camera.follow
    assert (lens.shutter, lens.quality) == (same_lens.shutter, same_lens.quality)


@pytest.mark.parametrize("name", LOOKS)
def test_a_share_outside_of_0_to_1_is_refused(name):
  with pytest.raises(ValueError, match=f"{name}=1.5: expected a probability"):
    SynthVos(0, 1, size=SIZE, length=1, **{name: 1.5})


@pytest.mark.parametrize("kinds", [(), ("blob", "car")])
def test_unknown_kinds_are_refused(kinds):
  with pytest.raises(ValueError, match=r"^kinds=\(.*: expected some of \('blob', "):
    SynthVos(0, 1, size=SIZE, length=1, kinds=kinds)


@pytest.mark.parametrize(
  ("name", "value", "expected"),
  [
    ("variety", -1.0, "0 to 2"),
    ("distractors", -1, "0 to 30"),
    ("distractors", 10**8, "0 to 30"),
    ("object_size", 0.0, "0.01 to 10"),
    ("object_size", 1e9, "0.01 to 10"),
    ("object_size", math.nan, "0.01 to 10"),
    ("speed", -1.0, "0 to 100"),
    ("speed", math.inf, "0 to 100"),
  ],
)
def test_a_setting_beyond_its_range_is_refused(name, value, expected):
  with pytest.raises(ValueError, match=f"^{name}={value}: expected {expected}"):
    SynthVos(0, 1, size=SIZE, length=1, **{name: value})
