"""Rules: every tensor is placed once, in the right layout, or is reported."""

import jax
import numpy as np
import pytest

from vosjax import convert
from vosjax.convert import apply_rules


def shapes(**leaves):
  tree = {}
  for path, shape in leaves.items():
    collection, module, leaf = path.split("__")
    leaves = tree.setdefault(collection, {}).setdefault(module, {})
    leaves[leaf] = jax.ShapeDtypeStruct(shape, np.float32)
  return tree


def random(*shape):
  return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def test_conv_puts_output_channels_last():
  weight = random(3, 3, 3, 3)  # no shape could give a wrong order away
  target = shapes(params__a__kernel=(3, 3, 3, 3))
  result = apply_rules("m", [(r"w", "params/a/kernel", "conv")], {"w": weight}, target)
  for o, i, y, x in np.ndindex(*weight.shape):
    assert result["params"]["a"]["kernel"][y, x, i, o] == weight[o, i, y, x]


@pytest.mark.parametrize("trailing", [(), (1, 1)])
def test_dense_puts_output_channels_last(trailing):
  weight = random(4, 4, *trailing)
  target = shapes(params__a__kernel=(4, 4))
  result = apply_rules("m", [("w", "params/a/kernel", "dense")], {"w": weight}, target)
  np.testing.assert_array_equal(result["params"]["a"]["kernel"], weight.reshape(4, 4).T)


def test_batch_norm_is_split_between_its_collections():
  state_dict = {
    "bn.weight": np.float32([1]),
    "bn.bias": np.float32([2]),
    "bn.running_mean": np.float32([3]),
    "bn.running_var": np.float32([4]),
    "bn.num_batches_tracked": np.int64(5),
  }
  target = shapes(
    params__a__scale=(1,),
    params__a__bias=(1,),
    batch_stats__a__mean=(1,),
    batch_stats__a__var=(1,),
  )
  result = apply_rules("m", [("bn", "a", "bn")], state_dict, target)
  assert result == {
    "params": {"a": {"scale": 1, "bias": 2}},
    "batch_stats": {"a": {"mean": 3, "var": 4}},
  }


def test_the_first_match_wins_and_functions_and_types_are_applied():
  rules = [
    (r"x\.0", None, None),
    (r"x\.(\d)", r"params/a/part\1", lambda tensor: -tensor),
  ]
  state_dict = {"x.0": np.zeros(2), "x.1": np.ones((), np.float64)}
  result = apply_rules("m", rules, state_dict, shapes(params__a__part1=()))
  leaf = result["params"]["a"]["part1"]
  assert (leaf.shape, leaf.dtype, float(leaf)) == ((), np.float32, -1.0)


def test_a_pattern_must_match_the_whole_name():
  target = shapes(params__a__bias=(1,))
  with pytest.raises(ValueError, match=r"no rule for \['x\.bias\.more'\]"):
    apply_rules(
      "m",
      [(r"x\.bias", "params/a/bias", "same")],
      {"x.bias": np.ones(1), "x.bias.more": np.ones(1)},
      target,
    )


def test_all_faults_are_listed_together():
  rules = [
    ("a", "params/m/a", "same"),
    ("b", "params/m/b", "conv"),
    ("c", "params/m/z", "same"),
  ]
  state_dict = {"a": np.ones(2), "b": np.ones(3), "c": np.ones(1), "d": np.ones(1)}
  target = shapes(params__m__a=(3,), params__m__b=(3,), params__m__missing=(1,))
  with pytest.raises(ValueError, match="somenet") as caught:
    apply_rules("somenet", rules, state_dict, target)
  text = str(caught.value)
  assert "'d'" in text and "c (its rule leads to params/m/z" in text
  assert "never filled ['params/m/missing']" in text
  assert "a (2,) for params/m/a (3,)" in text and "b (3,) for params/m/b (3,)" in text


def test_two_sources_of_one_variable_are_an_error():
  rules = [("a|b", "params/m/x", "same")]
  state_dict = {"a": np.ones(1), "b": np.ones(1)}
  with pytest.raises(ValueError, match=r"filled twice \['params/m/x'\]"):
    apply_rules("m", rules, state_dict, shapes(params__m__x=(1,)))


def test_a_prefix_of_data_parallel_is_dropped_only_if_all_names_have_it():
  def names_after(*names):
    return list(convert.strip_data_parallel({name: np.ones(1) for name in names}))

  assert names_after("module.a", "module.b") == ["a", "b"]
  assert names_after("module.a", "b") == ["module.a", "b"]


def test_an_unknown_model_lists_the_known():
  with pytest.raises(ValueError, match=r"'nonet'; known: \['agame'"):
    convert.convert("nonet", {})
