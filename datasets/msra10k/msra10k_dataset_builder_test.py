"""The MSRA10K builder keeps the bytes of images and masks."""

import pickle

import numpy as np
import pytest
from PIL import Image

from vosjax.data.formats.stills import StillsFolder
from vosjax.data.records.stills import PreparedStills
from vosjax.data.records.videos import PreparedFolder

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies


@pytest.fixture
def tree(tmp_path):
  """Imgs/NAME.jpg and .png, as the archive unpacks."""
  folder = tmp_path / "MSRA10K_Imgs_GT/Imgs"
  folder.mkdir(parents=True)
  rng = np.random.default_rng(0)
  for name in ("100002", "8", "209101"):
    image = rng.integers(0, 256, (9, 12, 3), np.uint8)
    Image.fromarray(image).save(folder / f"{name}.jpg")
    Image.fromarray(image[..., 0]).save(folder / f"{name}.png")
  return folder.parent


def test_records_hold_the_files_of_the_folder(build_stills, tree):
  folder = str(tree / "Imgs")
  splits = build_stills(
    "msra10k", tree, {"train": 3}, {"train": StillsFolder(folder, folder)}
  )
  assert set(np.unique(splits["train"][0].labels(0))) == {0, 1}


def test_a_short_folder_is_refused_and_not_written(build, tree, tmp_path, capsys):
  out = tmp_path / "out"
  assert build.main(["msra10k", f"--manual_dir={tree}", f"--data_dir={out}"]) == 2
  assert "incomplete: train: 3 of 10000 images" in capsys.readouterr().err
  (tree / "Imgs/8.png").unlink()
  assert build.main(["msra10k", f"--manual_dir={tree}", f"--data_dir={out}"]) == 2
  assert "Imgs/8.png" in capsys.readouterr().err
  assert not list(out.rglob("*.array_record*"))


def test_the_archive_is_asked_for_when_it_is_absent(build, tmp_path, capsys):
  assert (
    build.main(
      [
        "msra10k",
        f"--manual_dir={tmp_path / 'nowhere'}",
        f"--data_dir={tmp_path / 'out'}",
      ]
    )
    == 2
  )
  assert "https://mmcheng.net/msra10k/" in capsys.readouterr().err


def test_only_prepared_stills_are_read_as_such(build_stills, tree, tmp_path):
  folder = str(tree / "Imgs")
  build_stills("msra10k", tree, {"train": 3}, {"train": StillsFolder(folder, folder)})
  with pytest.raises(ValueError, match="records of .*'layout'.*, not of videos"):
    PreparedFolder(str(tmp_path / "prepared/msra10k/1.0.0"))
  with pytest.raises(ValueError, match="directory: no prepared dataset in"):
    PreparedStills(str(tree))
  source = PreparedStills(str(tmp_path / "prepared/msra10k/1.0.0"), "train[:2]")
  assert len(pickle.loads(pickle.dumps(source))) == 2
  with pytest.raises(IndexError, match="record 2 of 2"):
    _ = source[2]
