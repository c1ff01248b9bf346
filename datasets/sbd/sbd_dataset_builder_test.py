"""The SBD builder keeps the MATLAB files."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

from vosjax.data.formats.voc import SbdFolder


@pytest.mark.filterwarnings("default")  # tfds and its dependencies
def test_records_hold_images_and_matlab_files(build_stills, tmp_path):
  root = tmp_path / "benchmark_RELEASE/dataset"
  for folder in ("img", "inst", "cls"):
    (root / folder).mkdir(parents=True)
  labels = np.zeros((9, 12), np.uint8)
  labels[:4], labels[5:] = 1, 2
  for subset, names in {
    "train": ("2008_000002", "2008_000003"),
    "val": ("2008_000007",),
  }.items():
    (root / f"{subset}.txt").write_text("\n".join(names) + "\n")
    for name in names:
      Image.new("RGB", (12, 9)).save(root / f"img/{name}.jpg")
      truth = {"Segmentation": labels, "Categories": np.array([[9], [15]])}
      scipy.io.savemat(root / f"inst/{name}.mat", {"GTinst": truth})
      scipy.io.savemat(root / f"cls/{name}.mat", {"GTcls": truth})
  splits = build_stills(
    "sbd",
    root,
    {"train": 2, "validation": 1},
    {"train": SbdFolder(str(root), "train"), "validation": SbdFolder(str(root), "val")},
  )
  assert splits["train"][1].classes == {1: 9, 2: 15}
