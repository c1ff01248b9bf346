"""Quirks of the released programs; `official=True` in a stage reproduces them.

COSNet:
- every epoch starts with a step on stills, while the learning rates keep counting
  (`recipes/cosnet.py`, `_alternate`);
- most parameters of the encoder are updated two to four times per step, those of its
  stem once (`.cosnet`, `num_updates`);
- a still is both sides of a pair, so that the running statistics of BatchNorm are
  updated twice; not in the group form (`.cosnet`, `still_logits`);
- a batch without any object has an infinite loss (`.cosnet`, `unguarded_bce`);
- stills are drawn with replacement (`recipes/cosnet.py`, `make_batches`);
- when pairs are trained, the first and last still of each dataset are never drawn
  (`.cosnet`, `WithoutEnds`);
- a frame may be its own reference, and void pixels count as object (`.cosnet_pairs`,
  `AddReferences`);
- the augmentation swaps rows and columns, stretches contrast and turns a crop that
  consists of the object alone into background (`.cosnet_pairs`, `CropScaleFlip`).

RVOS and RSIS:
- most parameters of the backbone are updated three or four times per step, those of its
  stem once (`.two_adams`).

RVOS:
- an object counts only in the frames that show it, and a slot counts where the object
  of the same number does, even if the slot was matched to another object
  (`recipes/rvos.py`, `make_objective`, and `recipes/rvos_loss.py`);
- void pixels count as background (`recipes/rvos.py`, `make_objective`).

None of it is described in the papers, and all of it is off by default.
"""
