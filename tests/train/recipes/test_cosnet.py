"""COSNet's recipe: order of batches, losses, optimizer and scoring."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from vosjax import models
from vosjax.models.cosnet import PairLogits, upsample
from vosjax.models.modules.co_attention import CoAttention
from vosjax.train import feeds
from vosjax.train.config import cosnet_stage
from vosjax.train.configs.cosnet import get_config
from vosjax.train.optimizers import alternation
from vosjax.train.recipes import cosnet
from vosjax.train.scoring import datasets
from vosjax.train.scoring.video_scores import segment_video
from vosjax.types import VideoBatch

SIZE = (32, 40)
LOSSES = {"absolute": 0.8, "still": 0.1, "orthogonality": 0.01}
FIELDS = {
  "backbone": "resnet18",
  "width": 4,
  "features": 8,
  "branch_features": 4,
  "rates": (1, 2),
  "size": None,
}


@pytest.fixture
def config():
  """Ten small steps on procedural videos."""
  config = get_config("smoke")
  config.data.synthvos.update(num_videos=6, length=3, in_memory=True)
  config.stages.main.update(size=SIZE, batch_size=2, num_steps=10, steps_per_epoch=5)
  return config


def batches(config, start=0):
  stage = config.stages.main
  sources = feeds.training_sources(config, stage)
  return list(cosnet.make_batches(config, stage, sources, config.seed)(start))


def lengths(found):
  return [batch["frames"].shape[1] for batch in found]


def test_stills_and_pairs_alternate(config):
  found = batches(config)
  assert lengths(found) == [1, 2, 2, 1, 2, 2, 1, 2, 2, 1]
  assert found[0]["frames"].shape == (2, 1, *SIZE, 3)
  config.stages.main.official = True  # every epoch begins with stills
  assert lengths(batches(config)) == [1, 2, 2, 1, 2, 1, 2, 2, 1, 2]


@pytest.mark.parametrize(("start", "official"), [(4, False), (6, True)])
def test_a_run_resumes_at_any_step(config, start, official):
  config.stages.main.official = official
  whole, rest = batches(config), batches(config, start)
  assert len(rest) == len(whole) - start
  for a, b in zip(whole[start:], rest):
    assert a["names"] == b["names"]
    np.testing.assert_array_equal(a["frames"], b["frames"])
    np.testing.assert_array_equal(a["labels"], b["labels"])


def test_samples_are_those_of_the_released_program_if_official(config):
  config.data.synthvos.void = 1.0
  config.stages.main.num_steps = 2
  still, pair = batches(config)
  config.stages.main.official = True
  released_still, released_pair = batches(config)
  np.testing.assert_array_equal(still["frames"], released_still["frames"])
  more = released_still["labels"].astype(int) - still["labels"]
  assert more.min() == 0 and more.max() == 1  # void counts as object
  assert pair["names"] == released_pair["names"]
  assert (pair["frames"] != released_pair["frames"]).any()


@pytest.mark.parametrize("per_epoch", [None, 5, 6, 130])
def test_the_number_of_steps_on_stills(per_epoch):
  def is_still(i):
    return alternation.is_still_step(i % per_epoch if per_epoch else i)

  for start in range(0, 300, 7):
    expected = sum(map(is_still, range(start)))
    assert alternation.num_still_steps(start, per_epoch) == expected


def make_stills(root, count=5):
  """MSRA10K as it is unpacked; each image has its own gray value."""
  (root / "Imgs").mkdir(parents=True)
  mask = np.zeros(SIZE, np.uint8)
  mask[8:20, 8:20] = 255
  for i in range(count):
    path = root / "Imgs" / f"{i}.jpg"
    Image.fromarray(np.full((*SIZE, 3), 40 * i, np.uint8)).save(path)
    Image.fromarray(mask).save(path.with_suffix(".png"))


def test_stills_come_from_their_own_datasets(config, tmp_path):
  make_stills(tmp_path)
  config.data.msra10k = str(tmp_path)
  config.stages.main.update(num_steps=60)
  config.stages.main.sources.msra10k = 1.0
  everything, inner = set("01234"), set("123")
  for official, t, expected in (
    (False, 2, everything),
    (True, 2, inner),
    (True, 3, everything),
  ):
    config.stages.main.update(official=official, clip_length=t)
    found = batches(config)
    seen = {name.split("/")[0] for b in found[::3] for name in b["names"]}
    if not official:
      assert seen == expected
    drawn = [n for b in found if b["frames"].shape[1] == 1 for n in b["names"]]
    assert {name.split("/")[0] for name in drawn} == expected  # the ends: never drawn
    count = len(expected)
    epochs = [drawn[i : i + count] for i in range(0, len(drawn) - count + 1, count)]
    assert any(len(set(epoch)) < count for epoch in epochs) == official  # replacement
    assert all(
      "synth" in n for b in found if b["frames"].shape[1] == t for n in b["names"]
    )


def test_stills_alone_are_not_enough(config, tmp_path):
  make_stills(tmp_path)
  config.data.msra10k = str(tmp_path)
  config.stages.main.sources.update(synthvos=0.0, msra10k=1.0)
  with pytest.raises(ValueError, match=r"\['msra10k'\] hold stills only"):
    batches(config)


def test_all_missing_datasets_are_named():
  config = get_config("paper")
  for name in ("root", "msra10k", "dut_omron"):
    config.data[name] = f"nowhere/{name}"
  with pytest.raises(ValueError, match="no folder 'nowhere/root'") as error:
    feeds.training_sources(config, config.stages.main)
  for text in ("davis", "datasets/msra10k/README.md", "datasets/dut_omron/README.md"):
    assert text in str(error.value)


class Toy(nn.Module):
  """Logits are brightnesses, also of the other frame; counts encoded frames."""

  attention: str = "vanilla"
  fusion: str = "summary"
  deep: str = "dilated"

  def setup(self):
    self.weight = self.param("weight", nn.initializers.constant(3.0), (3,))
    self.count = self.variable("batch_stats", "count", jnp.zeros, ())
    if self.attention != "none":
      self.co_attention = CoAttention(8, self.attention)

  def encoder(self, frames, *, train, steps=1):
    self.count.value += steps * train
    return (frames[:, ::8, ::8] - 0.5) @ self.weight

  def saliency(self, frames, *, train):
    return self.encoder(frames, train=train)

  def pair_logits(self, a, b, *, train=False):
    a, b = self.encoder(a, train=train), self.encoder(b, train=train)
    return PairLogits(self.head_a(b, a, train), a - 2 * b, a, b)

  def summarise(self, deep, references):
    return references[:, 0] - references[:, 1]

  def head_a(self, summary, deep, train):
    return deep if summary is None else deep + 0.5 * summary

  def __call__(self, frames):
    if self.attention != "none":
      self.co_attention.pair(*[jnp.zeros((1, 2, 2, 8))] * 2)
    return self.encoder(frames, train=False)


@functools.cache
def make_toy(attention="vanilla"):
  model = Toy(attention)
  return model, model.init(jax.random.key(0), jnp.zeros((1, *SIZE, 3)))


def clips(t, seed=0):
  rng = np.random.default_rng(seed)
  labels = np.zeros((3, t, *SIZE), np.uint8)
  labels[:, :, 4:20, 6:20] = 1
  labels[1, -1] = 0
  frames = rng.integers(0, 256, (3, t, *SIZE, 3), np.uint8)
  return VideoBatch(frames=jnp.asarray(frames), labels=jnp.asarray(labels))


def evaluate(batch, attention="vanilla", **options):
  model, variables = make_toy(attention)
  objective = cosnet.make_objective(model, cosnet_stage(losses=LOSSES, **options))
  return objective(variables, batch, jax.random.key(0))


def brightness(batch, i):
  frames = np.asarray(batch.frames)[:, i, ::8, ::8] / 255
  return (frames - 0.5).sum(-1) * 3


def released(logits, labels):
  """The formula of the released program, in NumPy."""
  p = np.asarray(jax.nn.sigmoid(upsample(jnp.float32(logits), SIZE)), np.float64)
  y = np.asarray(labels, np.float64)
  entropy = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean() / y.mean()
  return entropy + 0.8 * np.abs(p - y).mean()


def balanced(logits, labels):
  """The formula of the paper, with the same absolute error."""
  p = np.asarray(jax.nn.sigmoid(upsample(jnp.float32(logits), SIZE)), np.float64)
  y = np.asarray(labels, np.float64)
  share = y.mean()
  entropy = -((1 - share) * y * np.log(p) + share * (1 - y) * np.log(1 - p)).mean()
  return entropy + 0.8 * np.abs(p - y).mean()


@pytest.mark.parametrize(
  ("bce", "formula"), [("scaled", released), ("balanced", balanced)]
)
def test_the_loss_of_a_pair_is_that_of_both_frames(bce, formula):
  batch = clips(2)
  a, b = brightness(batch, 0), brightness(batch, 1)
  expected = formula(a + b / 2, batch.labels[:, 0])
  expected += formula(a - 2 * b, batch.labels[:, 1])
  assert float(evaluate(batch, bce=bce)[0]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("official", [False, True])
def test_stills_train_the_saliency_alone(official):
  batch = clips(1)
  expected = 0.1 * released(brightness(batch, 0), batch.labels[:, 0])
  loss, outputs = evaluate(batch, official=official)
  assert float(loss) == pytest.approx(expected, rel=1e-4)
  # As released, a still stands on both sides of a pair; a group has no second one.
  assert outputs.batch_stats["count"] == (2 if official else 1)
  _, outputs = evaluate(batch, official=official, clip_length=3)
  assert outputs.batch_stats["count"] == 1


def test_a_group_is_a_target_with_several_references():
  batch = clips(3)
  target, b, c = (brightness(batch, i) for i in range(3))
  expected = released(target + (b - c) / 2, batch.labels[:, 0])
  loss, outputs = evaluate(batch)
  assert float(loss) == pytest.approx(expected, rel=1e-4)
  assert outputs.batch_stats["count"] == 3  # statistics of each frame apart
  assert {"group_loss", "group_iou"} < set(outputs.metrics)


def test_a_group_without_attention_is_the_target_alone():
  batch = clips(3)
  expected = released(brightness(batch, 0), batch.labels[:, 0])
  assert float(evaluate(batch, "none")[0]) == pytest.approx(expected, rel=1e-4)


def test_groups_do_not_train_what_prediction_fusion_reads(config):
  config.stages.main.clip_length = 3
  model = models.build("cosnet", **FIELDS, fusion="prediction")
  with pytest.raises(ValueError, match="fusion is 'prediction', but clips of 3"):
    cosnet.make_objective(model, config.stages.main)


def test_the_symmetric_form_penalises_a_basis_that_is_not_orthogonal():
  batch = clips(2)
  plain, _ = evaluate(batch, "symmetric")
  model, variables = make_toy("symmetric")
  co_attention = variables["params"]["co_attention"]
  other = co_attention | {"basis": 2 * co_attention["basis"]}
  params = variables["params"] | {"co_attention": other}
  loss, outputs = cosnet.make_objective(model, cosnet_stage(losses=LOSSES))(
    variables | {"params": params}, batch, jax.random.key(0)
  )
  assert float(outputs.metrics["orthogonality"]) == pytest.approx(9 * 8, rel=1e-4)
  assert float(loss - plain) == pytest.approx(0.01 * 9 * 8, rel=1e-3)


def test_a_batch_without_objects_has_a_finite_loss_unless_official():
  batch = clips(2)
  batch = batch.replace(labels=jnp.zeros_like(batch.labels))
  assert np.isfinite(evaluate(batch)[0])
  assert np.isinf(evaluate(batch, official=True)[0])


def test_an_unknown_loss_is_named():
  with pytest.raises(ValueError, match=r"bce is 'focal'; known: \['scaled'"):
    cosnet.make_objective(make_toy()[0], cosnet_stage(bce="focal"))


class Network(nn.Module):
  """Stands in for a COSNet, of which the optimizer needs these fields alone."""

  attention: str = "vanilla"
  deep: str = "dilated"
  frozen: tuple[str, ...] = ()


ENCODER, SECOND_HEAD = ("encoder", "saliency_head"), ("head_b", "out")
PARAMS = {first: {second: jnp.ones(1)} for first, second in (ENCODER, SECOND_HEAD)}


def test_rates_of_a_stage_reach_the_parameters(config):
  stage = config.stages.main
  stage.update(learning_rate=0.5, pair_rates=(0.01, 10.0), weight_decay=0.0, momentum=0)
  tx = cosnet.make_optimizer(Network(), stage)
  ones = jax.tree.map(jnp.ones_like, PARAMS)
  state, steps = tx.init(PARAMS), []
  for _ in range(2):
    updates, state = tx.update(ones, state, PARAMS)
    steps.append(tuple(float(updates[a][b][0]) for a, b in (ENCODER, SECOND_HEAD)))
  remaining = 0.9**0.9  # after one of ten steps
  assert steps[0] == (-0.5, 0.0)
  assert steps[1] == pytest.approx((-0.005 * remaining, -5.0 * remaining))
  stage.clip_length = 3  # the group form has no second side
  updates, _ = cosnet.make_optimizer(Network(), stage).update(ones, state, PARAMS)
  assert not float(updates["head_b"]["out"][0])


@pytest.mark.parametrize("num_steps", [3, 8])
def test_rates_decay_to_zero_at_the_last_step_wherever_an_epoch_ends(config, num_steps):
  stage = config.stages.main
  stage.update(learning_rate=0.5, num_steps=num_steps, weight_decay=0.0, momentum=0)
  tx = cosnet.make_optimizer(Network(), stage)  # an epoch has 5
  state = tx.init(PARAMS)._replace(num_steps=jnp.int32(num_steps - 1))
  updates, _ = tx.update(jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS)
  update = float(updates["head_b"]["out"][0])
  assert update == pytest.approx(-0.5 * num_steps**-0.9, rel=1e-3)


@pytest.mark.parametrize(
  ("key", "value", "text"),
  [
    ("references", 8, "references is 8; expected 0 to 7, or 'all'"),
    ("compare_references", (0, 9), "references is 9; expected 0 to 7"),
    ("reference_policy", "near", "reference_policy is 'near'; known:"),
    ("fusion", "mean", "evaluation.fusion is 'mean'; known: .'summary', 'prediction'"),
  ],
)
def test_a_run_that_cannot_be_scored_does_not_start(config, key, value, text):
  config.evaluation[key] = value
  with pytest.raises(ValueError, match=text):
    cosnet.make_scoring(config, models.build("cosnet", **FIELDS))


def test_all_frames_can_be_references(config, trained):
  config.evaluation.update(references="all", compare_references=(0, "all"))
  model, variables = trained("cosnet").model, trained("cosnet").variables
  scoring = cosnet.make_scoring(config, model)
  assert scoring.task == "primary"
  names = scoring.baselines(model, variables)
  assert list(names) == ["0 references", "all references"]


def test_models_are_compared_with_fewer_references(config, trained):
  config.evaluation.update(references=2, compare_references=(0, 1))
  model, variables = trained("cosnet").model, trained("cosnet").variables
  scoring = cosnet.make_scoring(config, model)
  video = datasets.load_scored(config, scoring.task).source[0]
  names = scoring.baselines(model, variables)
  assert list(names) == ["0 references", "1 reference"]
  found = segment_video(names["0 references"], video)
  assert found.shape == (len(video), *config.evaluation.size)
  frames = np.stack([video.frame(t) for t in range(len(video))]) / np.float32(255)
  saliency = jax.jit(functools.partial(model.apply, method="saliency"))(
    variables, frames
  )
  expected = np.asarray(upsample(saliency, config.evaluation.size)) > 0
  assert (found == expected).mean() > 0.999
  ours = segment_video(scoring.segment(model, variables), video)
  assert ours.shape == found.shape
