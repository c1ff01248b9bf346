"""What the released programs do by accident; `official=True` in a stage reproduces it.

COSNet (`.cosnet`, and `.cosnet_pairs` from references on):
- every epoch starts with a step on stills, while the learning rates keep counting;
- parameters of the encoder are updated two to four times per step;
- a still is both sides of a pair, so that the running statistics of BatchNorm are
  updated twice (not in the group form);
- a batch without any object has an infinite loss;
- stills are drawn with replacement, and for pairs the first and the last of a dataset
  are never drawn;
- a frame may be its own reference, and void pixels count as object;
- the augmentation swaps rows and columns, stretches contrast and turns a crop that
  consists of the object alone into background.

RVOS and RSIS:
- parameters of the backbone are updated three or four times per step (`.two_adams`).

RVOS:
- an object counts only in the frames that show it, and a slot counts where the object
  of the same number does, even if the slot was matched to another object;
- void pixels count as background.

None of it is described in the papers, and all of it is off by default.
"""
