"""All benchmarks of an accelerator in a given time, the most telling ones first.

Each group of measurements has a process of its own, so that one that runs out of memory
or time takes no other with it, and the peak memory is that of the group so far.
"""

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import multiprocessing
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from vosjax import children
from vosjax.train.interrupt import Interrupt

OK, FAILED, SKIPPED, NO_TIME = "ok", "failed", "skipped", "no time"
TRAINING = ("ml_collections", "clu", "grain")  # modules that training needs
RECIPES = (
  "agame:released",
  "agame:paper",
  "cosnet:paper",
  "rvos:paper",
  "rvos:paper_one_shot",
  "rsis:paper",
  "ris:paper",
  "cosnet:released",
)
DTYPES = ("bfloat16", "float32")
_FRAMES = 24
_LARGE_BATCH = 64
_POLL_SECONDS = 0.2  # between two looks for a signal


class Item(NamedTuple):
  """One measurement.

  Attributes:
    name: as it appears in the table.
    kind: a key of MEASUREMENTS.
    options: keyword arguments of that measurement.
    needs: modules without which it is skipped.
  """

  name: str
  kind: str
  options: dict[str, Any]
  needs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Case:
  """A model in the size of its targets.

  Attributes:
    name: as it appears in the table.
    model: of `vosjax.models`, or the name of weights in the package.
    size: (height, width) of the frames.
    objects: numbers of objects to measure, the most telling ones first.
    fields: of the model.
  """

  name: str
  model: str
  size: tuple[int, int]
  objects: tuple[int, ...] = (1, 10, 5, 50)
  fields: dict[str, Any] = dataclasses.field(default_factory=dict)


CASES = (
  Case("agame", "agame", (480, 864)),
  Case("agame-lite", "agame-lite", (480, 854)),
  Case("cosnet", "cosnet", (473, 473), (1,), {"num_references": 5}),
  Case("rvos", "rvos", (256, 448), (10, 1, 5, 50), {"one_shot": True}),
  Case("rsis", "rsis", (256, 448), (10, 1, 5, 50)),
  Case("ris", "ris", (256, 448), (10, 1, 5, 50)),
  Case("cosnet-lite", "cosnet-lite", (480, 854), (1,)),
)


def plan(cases: Sequence[Case] = CASES) -> list[list[Item]]:
  """Groups of measurements, in the order of their value."""
  first, rest = cases[:4], cases[4:]
  groups = [
    [Item(f"{c.name} agrees with the CPU", "agreement", _fields(c)) for c in cases]
  ]
  groups += [measure_targets(case, "bfloat16") for case in first]
  groups += [_measure_training(recipe, "bfloat16") for recipe in RECIPES]
  groups += [[Item("segment, from a video file to files", "segment", {}, ("av",))]]
  groups += [measure_details(case, "bfloat16") for case in first]
  groups += [measure_targets(case, "float32") for case in first]
  groups += [measure_targets(case, dtype) for case in rest for dtype in DTYPES]
  groups += [_measure_training(recipe, "float32") for recipe in RECIPES]
  groups += [measure_details(case, "float32") for case in first]
  groups += [measure_details(case, dtype) for case in rest for dtype in DTYPES]
  groups += [[Item("metrics", "metrics", {})]]
  groups += [[Item("training data", "data", {}, TRAINING)]]
  return groups


def measure_targets(case: Case, dtype: str) -> list[Item]:
  """What targets are stated for: one number of objects or two, and the encoder."""
  return [
    *(_on_device(case, dtype, n) for n in case.objects[:2]),
    _item(case, dtype, "encoder, large batch", "encoder", batch=_LARGE_BATCH),
  ]


def measure_details(case: Case, dtype: str) -> list[Item]:
  """Frames from host to host, and further numbers of objects."""
  n = case.objects[0]
  host = {"objects": n, "frames": _FRAMES}
  stream = f"{_count(n)}, streamed from host to host"
  return [
    _item(case, dtype, stream, "host", mode="stream", **host),
    _item(case, dtype, f"{_count(n)}, whole video", "host", mode="whole", **host),
    *(_on_device(case, dtype, n) for n in case.objects[2:]),
  ]


def _on_device(case: Case, dtype: str, n: int) -> Item:
  options = {"objects": n, "frames": _FRAMES, "compare": False}
  return _item(case, dtype, _count(n), "model", **options)


def _item(case: Case, dtype: str, title: str, kind: str, **options: Any) -> Item:
  common = _fields(case) | {"dtype": dtype, "size": case.size}
  return Item(f"{case.name} {dtype}, {title}", kind, common | options)


def _fields(case: Case) -> dict[str, Any]:
  return {"name": case.model} | case.fields


def _count(n: int) -> str:
  return f"{n} object{'s' * (n != 1)}"


def _measure_training(recipe: str, dtype: str) -> list[Item]:
  options = {"recipe": recipe, "dtype": dtype}
  return [Item(f"training {recipe}, {dtype}", "training", options, TRAINING)]


def run(
  groups: Sequence[Sequence[Item]],
  *,
  seconds: float,
  save: Callable[[dict[str, Any]], None],
  report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
  """Runs measurements one after another until the time is up, or Ctrl-C or SIGTERM.

  Args:
    groups: from `plan`.
    seconds: after which what is running is stopped.
    save: called with all results, before the first measurement and after each.
    report: called with the name of each measurement before it starts.

  Returns:
    `versions`; `seconds`, the time taken; `interrupted`, which is True until the last
    measurement had its turn or the time was up; and `items`, a list with `name`,
    `status` (OK, FAILED, SKIPPED or NO_TIME), `reason`, `seconds` and `result` of each.
  """
  began = time.monotonic()
  entries = {item.name: _entry(item, NO_TIME, "") for group in groups for item in group}
  outcome = {
    "versions": _versions(),
    "seconds": 0.0,
    "interrupted": True,
    "items": list(entries.values()),
  }
  with Interrupt() as stop, contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C
    save(outcome)
    for group in groups:
      for entry in _run_group(group, began + seconds, stop, report):
        entries[entry["name"]].update(entry)
        outcome["seconds"] = time.monotonic() - began
        save(outcome)
    if stop.signum is None:
      outcome["interrupted"] = False
      save(outcome)
  return outcome


def _run_group(
  group: Sequence[Item],
  deadline: float,
  stop: Interrupt,
  report: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
  """Yields an entry for each measurement of a group, which has its own process."""
  runnable = []
  for item in group:
    missing = [x for x in item.needs if importlib.util.find_spec(x) is None]
    if missing:
      yield _entry(item, SKIPPED, f"{', '.join(missing)} not installed")
    else:
      runnable.append(item)
  if not runnable or stop.signum is not None or time.monotonic() >= deadline:
    yield from (_entry(item, NO_TIME, "") for item in runnable)
    return
  context = multiprocessing.get_context("spawn")
  ours, theirs = context.Pipe()
  process = context.Process(target=_work, args=(runnable, theirs), daemon=True)
  try:
    with children.started_without_signals():
      process.start()
    theirs.close()
    for number, item in enumerate(runnable):
      report(item.name)
      began = time.monotonic()
      if not _await(ours, deadline, stop):
        yield _entry(item, NO_TIME, "stopped", seconds=time.monotonic() - began)
        yield from (_entry(x, NO_TIME, "") for x in runnable[number + 1 :])
        return
      try:
        status, found = ours.recv()
      except EOFError:
        process.join()
        reason = f"its process ended with code {process.exitcode}"
        yield from (_entry(x, FAILED, reason) for x in runnable[number:])
        return
      taken = time.monotonic() - began
      if status == OK:
        yield _entry(item, OK, "", seconds=taken, result=found)
      else:
        yield _entry(item, FAILED, found, seconds=taken)
  finally:
    if process.is_alive():
      process.kill()
      process.join()
    ours.close()


def _await(results: Connection, deadline: float, stop: Interrupt) -> bool:
  """Waits for a result; False: the time is up, or a signal arrived."""
  while stop.signum is None:
    left = max(0.0, deadline - time.monotonic())
    if results.poll(min(left, _POLL_SECONDS)):
      return True
    if not left:
      return False
  return False


def _entry(
  item: Item, status: str, reason: str, *, seconds: float = 0.0, result: Any = None
) -> dict[str, Any]:
  return {
    "name": item.name,
    "status": status,
    "reason": reason,
    "seconds": seconds,
    "result": result,
  }


def _work(items: Sequence[Item], results: Connection) -> None:
  """Measures all items of a group; this runs in the group's process."""
  children.end_with_parent()
  for item in items:
    try:
      results.send((OK, MEASUREMENTS[item.kind](**item.options)))
    except Exception as error:  # out of memory, for instance: the next one may fit
      results.send((FAILED, " ".join(f"{type(error).__name__}: {error}".split())[:500]))


def _resolve(name: str, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
  """Name and fields of a model; those of weights in the package, by their name."""
  from vosjax import models, weights

  if name not in weights.names():
    return name, fields
  model, _ = weights.load(name)
  kinds = {kind: key for key, kind in models.MODELS.items()}
  known = models.field_names(kinds[type(model)])
  own = {
    key: value
    for key, value in models.fields_of(model).items()
    if key in known and value is not None
  }
  return kinds[type(model)], own | fields


def _measure_model(name: str, **options: Any) -> dict[str, Any]:
  from vosjax.benchmarks import model

  name, options = _resolve(name, options)
  return model.measure(name, **options)


def _measure_host(name: str, **options: Any) -> dict[str, Any]:
  from vosjax.benchmarks import engine

  name, options = _resolve(name, options)
  return engine.measure(name, **options)


def _measure_encoder(name: str, **options: Any) -> dict[str, Any]:
  from vosjax.benchmarks import engine

  name, options = _resolve(name, options)
  return engine.measure_encoder(name, **options)


def _compare_with_cpu(name: str, **options: Any) -> dict[str, Any]:
  from vosjax.benchmarks import engine

  name, options = _resolve(name, options)
  return engine.compare_with_cpu(name, **options)


def _measure_recipe(recipe: str, dtype: str) -> dict[str, Any]:
  from vosjax.benchmarks import training

  return training.measure_recipe(recipe, dtype)


def _measure_segment(**options: Any) -> dict[str, Any]:
  from vosjax.benchmarks import segment

  found = segment.measure(**options)
  speed = found["networks"]["agame-lite"]["together"]["frames_per_second"]
  return found | {"frames_per_second": speed, "ms_per_frame": 1e3 / speed}


def _measure_metrics(**options: Any) -> dict[str, Any]:
  from vosjax.benchmarks import metrics

  return metrics.measure(**options)


def _measure_data() -> dict[str, Any]:
  from vosjax.benchmarks import data

  return data.measure()


# Each imports what it needs by itself: some of it is not installed everywhere, and the
# process that only waits must not occupy the accelerator.
MEASUREMENTS: dict[str, Callable[..., dict[str, Any]]] = {
  "agreement": _compare_with_cpu,
  "model": _measure_model,
  "host": _measure_host,
  "encoder": _measure_encoder,
  "training": _measure_recipe,
  "segment": _measure_segment,
  "metrics": _measure_metrics,
  "data": _measure_data,
}


def _versions() -> dict[str, str | None]:
  names = ("jax", "jaxlib", "flax", "optax", "numpy")
  found: dict[str, str | None] = {"python": platform.python_version()}
  for name in names:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      found[name] = None
  return found


_COLUMNS = (
  ("ms", "ms_per_frame", "{:.2f}"),
  ("ms/step", "ms_per_step", "{:.1f}"),
  ("of peak", "fraction_of_peak", "{:.1%}"),
  ("compile", "compile_seconds", "{:.0f} s"),
  ("MiB", "peak_memory_bytes", "{:,.0f}"),
)


def table(outcome: dict[str, Any]) -> str:
  """Formats the outcome of `run` for a terminal."""
  lines = [f"{'':<58}" + "".join(f"{title:>10}" for title, *_ in _COLUMNS)]
  for entry in outcome["items"]:
    line = f"{entry['name']:<58}"
    result = entry["result"]
    if entry["status"] != OK:
      line += f"  {entry['status']}{': ' * bool(entry['reason'])}{entry['reason'][:80]}"
    elif "agrees" in result:
      verdict = "agrees" if result["agrees"] else "DIFFERS"
      line += f"  {verdict}, by {result['difference']:.1e} of the largest value"
    else:
      line += "".join(_cell(result, key, form) for _, key, form in _COLUMNS)
    lines.append(line.rstrip())
  devices = {
    entry["result"]["device"]
    for entry in outcome["items"]
    if entry["result"] and "device" in entry["result"]
  }
  counts = dict.fromkeys((OK, FAILED, SKIPPED, NO_TIME), 0)
  for entry in outcome["items"]:
    counts[entry["status"]] += 1
  tally = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
  where = f" on {', '.join(sorted(devices))}" if devices else ""
  lines.append(f"{tally}; {outcome['seconds']:.0f} s{where}")
  return "\n".join(lines)


def _cell(result: dict[str, Any], key: str, form: str) -> str:
  value = result.get(key)
  if value is None:
    return f"{'':>10}"
  if key == "peak_memory_bytes":
    value /= 2**20
  return f"{form.format(value):>10}"
