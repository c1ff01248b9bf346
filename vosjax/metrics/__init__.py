"""Metrics of video object segmentation, equal to those of the public toolkits.

NumPy and SciPy only. All values are fractions; tables elsewhere show percent.
"""

from vosjax.metrics.assignment import match_proposals, pairwise_region
from vosjax.metrics.boundary import boundary_map, contour_accuracy
from vosjax.metrics.instances import count_difference, symmetric_best_dice
from vosjax.metrics.labels import Scores, score_labels, score_proposals
from vosjax.metrics.region import region_similarity
from vosjax.metrics.stability import temporal_stability
from vosjax.metrics.summary import Summary, nan_mean, summarize

__all__ = [
  "Scores",
  "Summary",
  "boundary_map",
  "contour_accuracy",
  "count_difference",
  "match_proposals",
  "nan_mean",
  "pairwise_region",
  "region_similarity",
  "score_labels",
  "score_proposals",
  "summarize",
  "symmetric_best_dice",
  "temporal_stability",
]
