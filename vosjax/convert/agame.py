"""Names of the released A-GAME checkpoints."""

from vosjax.convert.resnet import resnet_rules

_HEADS = (
  (r"appmod\.conv_in", "reduce"),
  (r"dynmod\.layers\.layer00\.conv", "propagation/join"),
  (r"dynmod\.layers\.layer01\.conv(\d)", r"propagation/branches_\1"),
  (r"dynmod\.layers\.layer02\.conv", "propagation/out"),
  (r"fusmod\.layers\.layer00\.conv", "fusion/join"),
  (r"fusmod\.layers\.layer01\.conv", "fusion/out"),
  (r"fusmod\.predictor\.layer00\.conv", "coarse_head"),
  (r"segmod\.project_s(\d)\.conv", r"refinement/project\1"),
  (r"segmod\.blend_s(\d)\.conv", r"refinement/blend\1"),
  (r"segmod\.predictor\.conv", "refinement/head"),
)

RULES = (
  *resnet_rules(r"trackseg\.backbone\.", "backbone"),
  (
    r"trackseg\.appmod\.cov_reg",
    "params/appearance/raw_floor",
    lambda tensor: tensor.reshape(tensor.shape[0], tensor.shape[2]),
  ),
  *(
    (rf"trackseg\.{name}\.{old}", f"params/{path}/{new}", layout)
    for name, path in _HEADS
    for old, new, layout in (("weight", "kernel", "conv"), ("bias", "bias", "same"))
  ),
)
