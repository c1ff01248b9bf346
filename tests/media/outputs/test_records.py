"""results.json, coco.json and the archive."""

import io
import json
import os
import zipfile

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from vosjax.data.codecs import coco_masks
from vosjax.data.formats import coco
from vosjax.media.outputs.records import Records


def test_results_say_what_is_known_of_each_frame(toy, write_job):
  times = [0.03 * index + 0.05 * (index > 4) for index in range(toy.length)]
  folder = write_job(["results"], times=times)
  results = json.loads((folder / "results.json").read_text())
  assert results["video"] == "toy" and len(results["frames"]) == toy.length
  share = (toy.labels_of(5) == 1).mean()
  assert results["frames"][5] == {
    "name": "00005",
    "time": 0.2,
    "objects": [1, 7],
    "scores": [0.9, 0.25],
    "lost": [False, True],
    "area": pytest.approx([share, (toy.labels_of(5) == 7).mean()], abs=1e-6),
  }


def test_coco_masks_decode_to_the_labels(toy, write_job):
  found = json.loads((write_job(["coco"], suffix=".png") / "coco.json").read_text())
  names = {image["id"]: image["file_name"] for image in found["images"]}
  assert sorted(names.values()) == [f"{index:05d}.png" for index in range(toy.length)]
  assert (
    len({annotation["id"] for annotation in found["annotations"]}) == 2 * toy.length
  )
  for annotation in found["annotations"]:
    mask = (
      toy.labels_of(int(names[annotation["image_id"]][:5])) == annotation["track_id"]
    )
    segmentation = annotation["segmentation"]
    np.testing.assert_array_equal(coco_masks.decode(segmentation, toy.size), mask)
    assert annotation["area"] == coco_mask.area(segmentation) == mask.sum()
    assert annotation["bbox"] == coco_mask.toBbox(segmentation).tolist()
  assert found["annotations"][1]["score"] == 0.8


def test_the_names_of_objects_are_their_categories(write_job):
  folder = write_job(["coco"], names={7: 'Anna, "red"'}, every=3)
  found = json.loads((folder / "coco.json").read_text())
  categories = {one["id"]: one["name"] for one in found["categories"]}
  assert list(categories.values()) == ["object", 'Anna, "red"']
  assert {
    (one["track_id"], categories[one["category_id"]]) for one in found["annotations"]
  } == {(1, "object"), (7, 'Anna, "red"')}


def test_the_archive_is_laid_out_as_the_server_asks(toy, write_job):
  with zipfile.ZipFile(write_job(["youtube-vos"]) / "youtube-vos.zip") as archive:
    names = [f"Annotations/toy/{index:05d}.png" for index in range(toy.length)]
    assert archive.namelist() == names
    image = Image.open(io.BytesIO(archive.read(names[4])))
  assert image.mode == "P" and image.size == toy.size[::-1]
  np.testing.assert_array_equal(np.asarray(image), toy.labels_of(4))


def test_a_line_that_was_cut_off_is_dropped(tmp_path):
  path = tmp_path / "lines.jsonl"
  path.write_text('{"n":0}\n{"n":1}\n{"n":')
  records = Records(path, 2)
  records.append({"n": 2})
  assert [record["n"] for record in records] == [0, 1, 2]
  records.close()
  with pytest.raises(ValueError, match=r"lines.jsonl: 1 frames are missing"):
    Records(path, 4)


def test_a_full_disk_is_raised_with_the_name_of_the_file(tmp_path):
  records = Records(tmp_path / "lines.jsonl", 0)
  records.append({"n": 0})
  os.close(records._file.fileno())  # what a broken disk looks like
  with pytest.raises(OSError, match="lines.jsonl"):
    records.save()
  records.close()


def test_coco_files_can_be_imported(toy, write_job):
  folder = write_job(["coco", "alpha"], suffix=".png")
  found = [
    (name, video.labels(index))
    for video in coco.read_coco(folder / "coco.json", folder / "alpha")
    for index, name in enumerate(video.frame_names)
  ]
  assert [name for name, _ in found] == [f"{i:05d}" for i in range(toy.length)]
  for index, (_, labels) in enumerate(found):
    np.testing.assert_array_equal(labels > 0, toy.labels_of(index) > 0)


def test_masks_beside_a_coco_file_are_not_taken_for_its_frames(write_job):
  folder = write_job(["coco", "masks"])
  with pytest.raises(ValueError, match="no frame 00000.png .* --images FILE"):
    coco.read_coco(folder / "coco.json")
