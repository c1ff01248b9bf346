"""Devices that share a batch send each other gradients and statistics, no activations.

Otherwise the work of each device would grow with their number.
"""

import jax
import pytest

from vosjax.train.config import ordered_stages

NUM_METRICS = 64  # at most


@pytest.mark.parametrize(
  ("name", "clip_length"),
  [
    ("agame:smoke", 2),
    *(
      pytest.param(*form, marks=pytest.mark.slow)
      for form in (
        ("agame:smoke", 3),
        ("cosnet:smoke", 1),
        ("cosnet:smoke", 2),
        ("cosnet:released_smoke", 3),
        ("ris:smoke", 1),
        ("rsis:smoke", 1),
        ("rvos:smoke", 3),
        ("rvos:zero_shot", 3),
      )
    ),
  ],
)
def test_no_activations_are_exchanged(
  name, clip_length, get_config, make_update, exchanged
):
  config = get_config(name)
  stage, *_ = ordered_stages(config).values()
  stage.batch_size = 4
  if name == "rvos:zero_shot":  # which has no smoke test
    small = get_config("rvos:smoke")
    config.model.fields.update(small.model.fields.to_dict() | {"one_shot": False})
    stage.update(size=(32, 48), clip_length=clip_length)
  step, state, batch = make_update(config, clip_length, num_devices=2)
  program = step.lower(state, batch).compile()
  assert not exchanged(program, "sent")
  num_params, num_stats = (
    sum(leaf.size for leaf in jax.tree.leaves(tree))
    for tree in (state.params, state.batch_stats)
  )
  # A gradient of each parameter, and mean and variance of norms in each frame.
  most = num_params + 2 * clip_length * num_stats + NUM_METRICS
  assert sum(exchanged(program, "summed")) <= most
