"""Reads the event files that `tagcl export DIR --tensorboard OUT` wrote with TensorBoard's own reader, and compares
them with the result files.

    pip install tensorboard
    python tools/check_tensorboard.py DIR OUT
"""

import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

results, out = map(pathlib.Path, sys.argv[1:])
checked = 0
for path in sorted(results.rglob("result.json")):
    result = json.loads(path.read_text())
    events = EventAccumulator(str(out / result["run_id"]), size_guidance={"scalars": 0})
    events.Reload()
    matrix = result["accuracy_matrix"]
    series = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    for row in matrix:
        for task, value in enumerate(row, 1):
            found = dict(series[f"accuracy/task_{task:02}"])[len(row)]
            assert abs(found - value) < 1e-4, (path, task, found, value)
            checked += 1
    name = "metrics/average_accuracy"
    assert abs(series[name][-1][1] - result["metrics"]["average_accuracy"]) < 1e-4, path
print(f"{checked} accuracies agree")
assert checked
