"""RIS's variants: the program's numbers."""

from vosjax.train.config import ordered_stages
from vosjax.train.configs.ris import get_config


def test_the_paper_recipe_has_the_numbers_of_the_program():
  config = get_config("paper")
  fields = config.model.fields
  assert (fields.score, fields.size) == ("flat", (106, 100))
  stages = list(ordered_stages(config).values())
  assert [stage.num_objects for stage in stages] == [2, 5, 10, 22]
  for stage in stages:
    assert (stage.size, stage.batch_size) == ((106, 100), 1)
    assert (stage.learning_rate, stage.losses.score) == (1e-4, 1.0)
    assert (stage.rotation, stage.translation, stage.zoom) == (180.0, 0.0, (1.0, 1.0))


def test_people_are_found_by_the_fcn_of_the_program():
  config = get_config("paper_people")
  fields = config.model.fields
  assert (fields.extractor, fields.channels, fields.score) == ("fcn8", 100, "pool")
  assert config.data.voc_classes == ("person",)
  assert config.evaluation.dataset == "voc"
  for stage in config.stages.values():
    assert stage.size == fields.size == (500, 500)
    assert stage.learning_rate in (1e-5, 1e-6)
    assert (stage.extra_objects, stage.rotation) == (1, 22.5)


def test_the_embedded_default_starts_with_two_objects():
  first, second = ordered_stages(get_config("")).values()
  assert (first.num_objects, second.num_objects) == (2, 0)


def test_slides_and_program_differ_by_one_prediction():
  extra = {
    variant: {
      stage.extra_objects for stage in ordered_stages(get_config(variant)).values()
    }
    for variant in ("paper", "paper_slides")
  }
  assert extra == {"paper": {1}, "paper_slides": {2}}
