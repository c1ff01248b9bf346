"""Smooth bounded motion, as sums of sinusoids, and similarity transforms.

Points of the plane are complex numbers x + iy, with y pointing down, so that a
similarity transform (rotation, scaling and shift) is `turn * point + shift`.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Complex, Float

Times = Float[np.ndarray, " t"]  # in frames; fractions are times between frames
Track = Complex[np.ndarray, " t"] | Float[np.ndarray, " t"]


@dataclasses.dataclass(frozen=True)
class Path:
  """Sum of amplitude * (sin(rate * t + phase) - sin(phase)): zero at t = 0."""

  amplitude: np.ndarray  # [k], real or complex
  rate: np.ndarray  # [k], radians per frame
  phase: np.ndarray  # [k]

  def __call__(self, t: Times) -> Track:
    if self is STILL or not self.amplitude.any():
      return np.zeros(len(t))
    angle = self.rate * t[:, None] + self.phase
    swing = np.sin(angle) - np.sin(self.phase)
    return (swing * self.amplitude).sum(axis=1)

  def __mul__(self, factor: complex | float) -> "Path":
    return dataclasses.replace(self, amplitude=self.amplitude * factor)

  def __add__(self, other: "Path") -> "Path":
    return Path(
      np.concatenate([self.amplitude, other.amplitude]),
      np.concatenate([self.rate, other.rate]),
      np.concatenate([self.phase, other.phase]),
    )


STILL = Path(np.zeros(1), np.zeros(1), np.zeros(1))


def wander(
  rng: np.random.Generator, reach: float, speed: float, waves: int = 3
) -> Path:
  """A real path that moves within about `reach`, by about `speed` per frame."""
  share = rng.dirichlet(np.full(waves, 1.5))
  amplitude = reach * share * rng.choice([-1.0, 1.0], waves)
  rate = speed / max(reach, 1e-6) * rng.uniform(0.5, 2.2, waves)
  # With phases near 0 or pi, things move at full speed from the first frame on.
  phase = rng.normal(0.0, 0.7, waves) + np.pi * rng.integers(0, 2, waves)
  return Path(amplitude, rate, phase)


def roam(rng: np.random.Generator, reach: complex, speed: float) -> Path:
  """A path in the plane, of horizontal `reach.real` and vertical `reach.imag`."""
  heading = np.exp(1j * rng.uniform(0, 2 * np.pi))
  across = wander(rng, reach.real, speed * abs(heading.real) + 1e-3)
  along = wander(rng, reach.imag, speed * abs(heading.imag) + 1e-3)
  return across * (1 + 0j) + along * 1j


@dataclasses.dataclass(frozen=True)
class Pose:
  """The position of a thing at each of `t` times: point -> turn * point + shift."""

  turn: Track
  shift: Track

  def __getitem__(self, times: slice | np.ndarray) -> "Pose":
    """The same transform at some of the times."""
    return Pose(self.turn[times], self.shift[times])

  def __matmul__(self, inner: "Pose") -> "Pose":
    """The transform that applies `inner` first."""
    return Pose(self.turn * inner.turn, self.turn * inner.shift + self.shift)


View = Callable[[float], Pose]  # from world to screen, given the parallax


@dataclasses.dataclass(frozen=True)
class Motion:
  """A similarity transform that changes over time.

  Attributes:
    start: position at t = 0.
    move: displacement since then.
    angle: rest angle, in radians.
    spin: angle added over time.
    grow: logarithm of the scale over time.
    entry: displacement at t = 0, which decreases linearly to 0 at `arrival`.
    arrival: frame in which a late object has come in; 0 = present from the start.
    scale: size at t = 0.
  """

  start: complex
  move: Path
  angle: float
  spin: Path
  grow: Path
  entry: complex = 0j
  arrival: float = 0.0
  scale: float = 1.0

  def __call__(self, t: Times) -> Pose:
    turn = self.scale * np.exp(self.grow(t) + 1j * (self.angle + self.spin(t)))
    shift = self.start + self.move(t)
    if self.arrival:
      shift = shift + self.entry * np.clip(1 - t / self.arrival, 0, 1)
    return Pose(turn, shift)


@dataclasses.dataclass(frozen=True)
class Camera:
  """Pan, roll, zoom and shake around the centre of the frame."""

  centre: complex
  pan: Path
  roll: Path
  zoom: Path
  followed: Path  # the path of the object that the camera tracks
  follow: float  # how much of it, 0 to 1

  def views(self, t: Times) -> View:
    """From world to screen, by parallax; below 1 is far away, above 1 is near."""
    turn = np.exp(self.zoom(t) + 1j * self.roll(t))
    look = self.pan(t) + self.follow * self.followed(t)

    def view(parallax: float) -> Pose:
      return Pose(turn, self.centre - turn * (self.centre + parallax * look))

    return view
