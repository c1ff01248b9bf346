"""Names of the released COSNet checkpoints: the pair model and the group model."""

from collections.abc import Iterator

from vosjax.convert.deeplab import deeplab_rules
from vosjax.convert.rules import Rule


def _head_rules(official: str, ours: str) -> Iterator[Rule]:
  yield (rf"conv{official}\.weight", f"params/{ours}/join/conv/kernel", "conv")
  yield (rf"bn{official}", f"{ours}/join/norm", "bn")
  out = rf"main_classifier{official}"
  yield (rf"{out}\.weight", f"params/{ours}/out/kernel", "conv")
  yield (rf"{out}\.bias", f"params/{ours}/out/bias", "same")


RULES = (
  *deeplab_rules(r"encoder\.", "encoder"),
  (r"linear_e\.weight", "params/co_attention/kernel", "dense"),
  (r"gate\.weight", "params/co_attention/gate", lambda t: t.reshape(t.shape[1])),
  *_head_rules("1", "head_a"),
  *_head_rules("2", "head_b"),
)
