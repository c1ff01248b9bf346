"""The layout of YouTube-VOS, for training and for segmentation."""

import json
import pickle
import shutil

import numpy as np
import pytest

from vosjax.data.formats.youtube_vos import YoutubeVosFolder, read_categories
from vosjax.data.video import Source


@pytest.fixture
def youtube_vos(davis, tmp_path):
  """The same videos in the layout of YouTube-VOS, without resolutions and lists."""
  for folder in ("JPEGImages", "Annotations"):
    shutil.move(davis / folder / "480p", tmp_path / "YouTubeVOS" / "train" / folder)
  return tmp_path / "YouTubeVOS"


@pytest.mark.parametrize("below", [".", "train"])
def test_youtube_vos_is_read_as_unpacked(youtube_vos, tree, below):
  (youtube_vos / "train/Annotations/video1/00001.png").unlink()
  shutil.rmtree(youtube_vos / "train/Annotations/video3")  # frames without annotations
  source = YoutubeVosFolder(str(youtube_vos / below))
  assert isinstance(source, Source)
  assert [video.name for video in source] == ["video0", "video1", "video2"]
  video = pickle.loads(pickle.dumps(source))[1]
  assert video.frame_names == ("00000", "00002", "00003", "00004", "00005")
  np.testing.assert_array_equal(video.labels(1), tree.label_pixels(1, 2))


def test_youtube_vos_takes_a_list_and_names_what_is_missing(youtube_vos, tmp_path):
  names = tmp_path / "names.txt"
  names.write_text("video2\nvideo0\n")
  source = YoutubeVosFolder(str(youtube_vos / "train"), str(names))
  assert [video.name for video in source] == ["video2", "video0"]
  names.write_text("video2\nnowhere\n")
  (youtube_vos / "train/JPEGImages/video2/00003.jpg").unlink()
  with pytest.raises(ValueError, match=r"2 files .*video2/00003\.jpg.*nowhere/\*\.jpg"):
    YoutubeVosFolder(str(youtube_vos / "train"), str(names))


def test_other_layouts_are_not_mistaken_for_youtube_vos(davis):
  with pytest.raises(ValueError, match="not in the layout of YouTube-VOS"):
    YoutubeVosFolder(str(davis))


def test_every_frame_is_kept_for_segmentation(youtube_vos, tree):
  (youtube_vos / "train/Annotations/video1/00001.png").unlink()
  video = YoutubeVosFolder(str(youtube_vos), every_frame=True)[1]
  assert video.frame_names == tuple(f"{t:05}" for t in range(6))
  assert video.labels(1) is None
  np.testing.assert_array_equal(video.labels(2), tree.label_pixels(1, 2))


def test_videos_without_annotations_are_left_out_unless_they_are_wanted(youtube_vos):
  shutil.rmtree(youtube_vos / "train/Annotations/video3")
  names = [v.name for v in YoutubeVosFolder(str(youtube_vos), every_frame=True)]
  assert names == ["video0", "video1", "video2"]
  everything = YoutubeVosFolder(str(youtube_vos), every_frame=True, unlabelled=True)
  assert [len(video) for video in everything] == [6] * 4
  shutil.rmtree(youtube_vos / "train/Annotations")
  bare = YoutubeVosFolder(str(youtube_vos), every_frame=True, unlabelled=True)
  assert not any(any(video.label_files) for video in bare)
  with pytest.raises(ValueError, match="contains no folder of annotations"):
    YoutubeVosFolder(str(youtube_vos), every_frame=True)


def test_videos_may_be_nested_and_frame_numbers_unpadded(youtube_vos, tmp_path):
  train = youtube_vos / "train"
  for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
    (train / folder / "cat/0001").mkdir(parents=True)
    (train / folder / "video0").rename(train / folder / "cat/0001/002")
    for t in range(6):
      path = train / f"{folder}/cat/0001/002/{t:05}.{suffix}"
      path.rename(path.with_name(f"cat_{t + 8}.{suffix}"))
  source = YoutubeVosFolder(str(youtube_vos))
  assert [video.name for video in source] == [
    "cat/0001/002",
    "video1",
    "video2",
    "video3",
  ]
  assert source[0].frame_names == tuple(f"cat_{n}" for n in range(8, 14))
  listed = tmp_path / "list.txt"
  listed.write_text("cat/0001/002\n")
  assert YoutubeVosFolder(str(train), str(listed))[0].name == "cat/0001/002"


def test_meta_json_describes_the_objects(youtube_vos):
  meta = {"video1": {"objects": {"3": {"category": "cat", "frames": ["00000"]}}}}
  path = youtube_vos / "train/meta.json"
  path.write_text(json.dumps({"videos": meta}))
  source = YoutubeVosFolder(str(youtube_vos))
  assert source[1].categories == {3: "cat"}
  assert source[1].objects[3]["frames"] == ["00000"]
  assert source[0].categories == {}
  assert read_categories(path) == {"video1": {3: "cat"}}
  for text in ("[]", "[" * 10**5):
    path.write_text(text)
    with pytest.raises(ValueError, match="meta.json: not a meta.json of YouTube-VOS"):
      YoutubeVosFolder(str(youtube_vos))


def test_a_missing_list_does_not_mean_every_video(youtube_vos):
  with pytest.raises(ValueError, match="no list 'held_out.txt'"):
    YoutubeVosFolder(str(youtube_vos / "train"), "held_out.txt")
