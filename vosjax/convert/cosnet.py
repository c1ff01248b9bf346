"""Names of the released COSNet checkpoints, of the pair and the group model."""

from vosjax.convert.resnet import resnet_rules

# Official convolution and BatchNorm of `layer5`, and our unit.
_PYRAMID = (
    ("conv", "bn_x", "pooled"),
    ("conv2d_0", "bn_0", "pointwise"),
    ("conv2d_1", "bn_1", "atrous_0"),
    ("conv2d_2", "bn_2", "atrous_1"),
    ("conv2d_3", "bn_3", "atrous_2"),
    ("bottleneck", "bn", "join"),
)


def _pyramid_rules():
  """Rules of `layer5`, whose convolutions have biases before BatchNorm."""
  prefix, ours = r"encoder\.layer5\.", "encoder/pyramid"
  for conv, norm, unit in _PYRAMID:
    path = f"{ours}/{unit}"
    yield (rf"{prefix}{conv}\.weight", f"params/{path}/conv/kernel", "conv")
    yield (rf"{prefix}{conv}\.bias", f"params/{path}/conv/bias", "same")
    yield (f"{prefix}{norm}", f"{path}/norm", "bn")
  slope = f"params/{ours}/activation/negative_slope"
  yield (rf"{prefix}prelu\.weight", slope, lambda tensor: tensor.reshape(()))


def _head_rules(official, ours):
  yield (rf"conv{official}\.weight", f"params/{ours}/join/conv/kernel", "conv")
  yield (rf"bn{official}", f"{ours}/join/norm", "bn")
  out = rf"main_classifier{official}"
  yield (rf"{out}\.weight", f"params/{ours}/out/kernel", "conv")
  yield (rf"{out}\.bias", f"params/{ours}/out/bias", "same")


_SALIENCY = "params/encoder/saliency_head"

RULES = (
    *resnet_rules(r"encoder\.", "encoder/resnet", drop_classifier=False),
    *_pyramid_rules(),
    (r"encoder\.main_classifier\.weight", f"{_SALIENCY}/kernel", "conv"),
    (r"encoder\.main_classifier\.bias", f"{_SALIENCY}/bias", "same"),
    (r"linear_e\.weight", "params/co_attention/kernel", "dense"),
    (r"gate\.weight", "params/co_attention/gate", lambda t: t.reshape(t.shape[1])),
    *_head_rules("1", "head_a"),
    *_head_rules("2", "head_b"),
)
