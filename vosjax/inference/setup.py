"""`Setup`: what all sessions of a segmenter share."""

import dataclasses

import flax.linen as nn

from vosjax.inference.references import ReferenceCount, ReferencePolicy
from vosjax.models.api import Readout
from vosjax.models.unroll import Recurrence
from vosjax.types import Variables


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
  """What all sessions of a segmenter share.

  Attributes:
    model: from `programs.prepare`.
    variables: from `programs.prepare`.
    recurrence: which masks update the model's state.
    max_objects: the largest number of slots; None if there is no limit.
    references: number of reference frames; 0 for models that take none.
    reference_policy: which frames become references.
    seed: of the random policy.
  """

  model: nn.Module
  variables: Variables
  recurrence: Recurrence
  max_objects: int | None
  references: ReferenceCount
  reference_policy: ReferencePolicy | str
  seed: int

  @property
  def readout(self) -> Readout:
    """How the model's slots become objects."""
    return self.model.readout
