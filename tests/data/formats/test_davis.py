import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from vosjax.data.formats.davis import DavisFolder
from vosjax.data.video import Source, Video, read_clip


def test_videos_read_back_what_was_written(davis, tree):
  source = DavisFolder(str(davis))
  assert isinstance(source, Source) and isinstance(source[1], Video)
  assert [video.name for video in source] == [f"video{v}" for v in range(4)]
  video = pickle.loads(pickle.dumps(source))[1]
  assert video.frame_names == tuple(f"{t:05}" for t in range(6)) and len(video) == 6
  np.testing.assert_array_equal(video.labels(2), tree.label_pixels(1, 2))
  error = video.frame(2).astype(int) - tree.frame_pixels(1, 2)
  assert abs(error).max() <= 2  # JPEG


def test_2016_merges_objects_and_void(davis, tree):
  labels = DavisFolder(str(davis), str(davis / "ImageSets/2017/train.txt"), 2016)
  np.testing.assert_array_equal(labels[1].labels(0), tree.label_pixels(1, 0) > 0)


def test_void_alone_is_void_where_other_masks_have_it_beside_ids(davis):
  """Gray masks of 0 and 255 are an object's, unless 255 is void in the video."""
  folder = davis / "Annotations/480p/video1"
  pixels = np.zeros_like(DavisFolder(str(davis))[1].labels(0))
  ids, alone = pixels.copy(), pixels.copy()
  ids[:2], ids[2:4], ids[4] = 1, 2, 255
  alone[4] = 255
  for t in range(6):
    Image.fromarray(alone if t == 3 else ids).save(folder / f"{t:05}.png")
  video = DavisFolder(str(davis))[1]
  assert np.unique(video.labels(3)).tolist() == [0, 255]
  assert np.unique(video.labels(2)).tolist() == [0, 1, 2, 255]
  for t in range(6):
    Image.fromarray(alone).save(folder / f"{t:05}.png")
  video = DavisFolder(str(davis))[1]
  assert np.unique(video.labels(3)).tolist() == [0, 1]


def test_the_pair_lists_of_2016_are_read(davis):
  (davis / "ImageSets/480p").mkdir()
  (davis / "ImageSets/480p/val.txt").write_text(
    "".join(
      f"/JPEGImages/480p/video2/{t:05}.jpg /Annotations/480p/video2/{t:05}.png\n"
      for t in range(6)
    )
  )
  assert [v.name for v in DavisFolder(str(davis), "val", 2016)] == ["video2"]


def test_all_missing_files_are_listed_at_once(davis):
  (davis / "JPEGImages/480p/video0/00003.jpg").unlink()
  (davis / "Annotations/480p/video1/00001.png").unlink()
  with (davis / "ImageSets/2017/train.txt").open("a") as lines:
    lines.write("nowhere\n")
  with pytest.raises(ValueError, match="3 files of subset 'train'") as error:
    DavisFolder(str(davis))
  for name in ("video0/00003.jpg", "video1/00001.png", "nowhere/*.jpg", "sparse=True"):
    assert name in str(error.value)


def test_sparse_sets_give_void_for_frames_without_annotation(davis, tree):
  (davis / "Annotations/480p/video1/00001.png").unlink()
  video = DavisFolder(str(davis), sparse=True)[1]
  assert video.labels(1) is None
  labels = read_clip(video, 0, 2)["labels"]
  np.testing.assert_array_equal(labels[0], tree.label_pixels(1, 0))
  assert (labels[1] == 255).all()


def test_a_dataset_without_annotations_is_read_where_none_are_needed(davis):
  (davis / "Annotations/480p/video0/00000.png").rename(davis / "kept.png")
  for path in davis.glob("Annotations/480p/video0/*"):
    path.unlink()
  with pytest.raises(ValueError, match=r"missing: Annotations/480p/video0/\*\.png"):
    DavisFolder(str(davis), sparse=True)
  videos = DavisFolder(str(davis), sparse=True, unlabelled=True)
  assert [any(video.label_files) for video in videos] == [False, True, True, True]
  shutil.rmtree(davis / "Annotations")
  videos = DavisFolder(str(davis), sparse=True, unlabelled=True)
  assert len(videos[0]) == 6
  assert videos[0].labels(0) is None
  (davis / "JPEGImages/480p/video1/00003.jpg").unlink()
  (davis / "Annotations/480p/video1").mkdir(parents=True)
  (davis / "kept.png").rename(davis / "Annotations/480p/video1/00003.png")
  with pytest.raises(ValueError, match="missing: JPEGImages/480p/video1/00003.jpg"):
    DavisFolder(str(davis), sparse=True, unlabelled=True)


def test_a_mask_or_frame_of_another_size_is_named(davis, tree):
  mask = davis / "Annotations/480p/video1/00001.png"
  tree.save_labels(mask, np.zeros((5, 7), np.uint8))
  Image.new("RGB", (9, 8)).save(davis / "JPEGImages/480p/video1/00002.jpg")
  video = DavisFolder(str(davis))[1]
  with pytest.raises(ValueError, match=r"00001\.png: 5x7 pixels .* has 24x32"):
    video.labels(1)
  with pytest.raises(ValueError, match=r"00002\.jpg: 8x9 pixels .* has 24x32"):
    video.frame(2)


@pytest.mark.parametrize(
  "fields, message",
  [
    ({"root": "absent"}, r"root: no folder .*absent.*Expected the DAVIS layout"),
    ({"resolution": "1080p"}, r"resolution: no folder .*contains \['480p'\]"),
    ({"subset": "trian"}, r"subset: no list 'trian'.*2017/train\.txt"),
    ({"year": 2018}, r"year: got 2018"),
  ],
)
def test_wrong_arguments_list_what_is_available(davis, fields, message):
  with pytest.raises(ValueError, match=message):
    DavisFolder(**({"root": str(davis)} | fields))
