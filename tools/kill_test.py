#!/usr/bin/env python3
"""Kills runs with SIGKILL at random moments and checks that what they come to is what uninterrupted runs come to.

    python3 tools/kill_test.py --tagcl target/release/tagcl --kills 200

Every method x optimizer pair is run once without interruption and without checkpoints; then runs of all pairs in turn,
with many checkpoints, are started, killed after a random time, started again, ..., until they end by themselves, and
`result.json` (but for `cost` and `provenance`) and `model.safetensors` are compared byte for byte, `events.jsonl` event by
event. This goes on until there were enough kills. Also: both profiles in turn, the cyclic and the joint schedule, early
stopping, TAG's variants, and the reduced ResNet-18 on the kernels and on Burn's own operations. The data are the embedded
MNIST sample. Python's standard library only; the same --seed gives the same times to kill at.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

METHODS = ["plain", "ewc", "agem", "er"]
OPTIMIZERS = ["sgd", "rmsprop", "adagrad", "adam", "tag-rmsprop", "tag-adagrad", "tag-adam"]


def cases():
    """(name, arguments, environment) of every kind of run."""
    base = "--benchmark rotated-mnist --data embedded --tasks 4 --hidden 32 --fraction 0.1 --dropout 0.1 --epochs 2 --lr 0.001"
    out = []
    for i, method in enumerate(METHODS):
        for j, optimizer in enumerate(OPTIMIZERS):
            profile = ["released", "corrected"][(i + j) % 2]
            name = f"{method} {optimizer} {profile}"
            out.append((name, f"{base} --method {method} --optimizer {optimizer} --profile {profile}", {}))
    for alpha in ["one", "age", "gradients"]:
        arguments = f"{base} --optimizer tag-rmsprop --alpha {alpha} --past-moments bf16"
        out.append((f"tag-rmsprop, alpha {alpha}", arguments, {}))
    for schedule in ["cyclic", "joint"]:
        out.append((schedule, f"{base} --optimizer adam --schedule {schedule}", {}))
    out.append(("early stopping", base.replace("--epochs 2", "--epochs 20") + " --validation 0.3 --patience 1", {}))
    resnet = (
        "--benchmark split-mnist --data embedded --model reduced-resnet18 --fraction 0.02 --dropout 0.1 --lr 0.001"
        " --method agem --optimizer tag-rmsprop --profile released"
    )
    out.append(("resnet18, kernels", resnet, {}))
    out.append(("resnet18, stock", resnet.replace("0.02", "0.008"), {"TAGCL_KERNELS": "stock"}))
    return out


def content(folder):
    """What must be equal: result without cost and provenance, weights, events without times."""
    (run,) = folder.iterdir()
    result = json.loads((run / "result.json").read_bytes())
    resumed = result["provenance"].get("resumed", 0)
    del result["cost"], result["provenance"]
    events = []
    for line in (run / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        del event["time"]
        if event["event"] not in ("resumed", "warning"):
            events.append(event)
    left = sorted(p.name for p in run.iterdir() if p.name != "status.json")
    assert left == ["config.toml", "events.jsonl", "model.safetensors", "result.json"], left
    return (json.dumps(result), (run / "model.safetensors").read_bytes(), events), resumed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tagcl", default="target/release/tagcl", help="the program")
    parser.add_argument("--kills", type=int, default=200, help="at least so many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    args = parser.parse_args()
    tagcl = os.path.abspath(args.tagcl)
    rng = random.Random(args.seed)
    chosen = [case for case in cases() if args.only in case[0]]
    counts = collections.Counter()
    differing = []
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)

        def start(case, folder, every):
            command = [tagcl, "run", *case[1].split(), "--jobs", "1", "--checkpoint-every", every, "--out", str(folder)]
            environment = {**os.environ, **case[2]}
            return subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )

        wholes = {}
        turn = 0
        while counts["kills"] < args.kills or turn < len(chosen):
            case = chosen[turn % len(chosen)]
            turn += 1
            if case[0] not in wholes:
                began = time.monotonic()
                process = start(case, work / "whole", "off")
                _, errors = process.communicate()
                if process.returncode != 0:
                    sys.exit(f"{case[0]}: {errors}")
                whole, _ = content(work / "whole")
                wholes[case[0]] = (whole, time.monotonic() - began)
                shutil.rmtree(work / "whole")
            whole, seconds = wholes[case[0]]
            # From a checkpoint after every operation to a few in a run.
            every = rng.choice(["0", "0.02", "0.1", "0.3"])
            kills = 0
            while True:
                process = start(case, work / "killed", every)
                # Of late attempts more is let through, so that every run comes to its end.
                limit = rng.uniform(0, seconds * (1 + 0.3 * kills))
                try:
                    _, errors = process.communicate(timeout=limit)
                except subprocess.TimeoutExpired:
                    process.kill()
                    _, errors = process.communicate()
                counts["warnings"] += errors.count("warning:")
                counts["resumes"] += errors.count("goes on from a checkpoint")
                if process.returncode == -9:
                    kills += 1
                    run = next((work / "killed").iterdir(), None) if (work / "killed").exists() else None
                    if run is None:
                        counts["killed before the run folder"] += 1
                    elif (run / "result.json").exists():
                        counts["killed after the result"] += 1
                    elif (run / "model.safetensors").exists():
                        counts["killed between weights and result"] += 1
                    elif any(run.glob("checkpoint/.tagcl-*")):
                        counts["killed while writing a checkpoint"] += 1
                    elif any(run.glob("checkpoint/*.ckpt")):
                        counts["killed with a checkpoint"] += 1
                    else:
                        counts["killed before a checkpoint"] += 1
                    continue
                if process.returncode != 0:
                    sys.exit(f"{case[0]}: exit code {process.returncode}: {errors}")
                # Once more: complete, and tidied up if the last kill came after the result.
                again = start(case, work / "killed", every)
                _, errors = again.communicate()
                assert again.returncode == 0 and "not run again" in errors, errors
                break
            found, resumed = content(work / "killed")
            shutil.rmtree(work / "killed")
            counts["runs"] += 1
            counts["kills"] += kills
            same = found == whole
            if not same:
                differing.append(case[0])
            print(f"{case[0]}: checkpoints every {every} s, {kills} kills, {resumed} resumes: "
                  f"{'identical' if same else 'DIFFERENT'}", flush=True)
    print(f"\n{counts['kills']} kills, {counts['runs']} runs of {len(chosen)} kinds, {len(differing)} differ")
    for name, count in sorted(counts.items()):
        if name not in ("kills", "runs"):
            print(f"  {name}: {count}")
    if differing:
        sys.exit("differing: " + "; ".join(differing))


if __name__ == "__main__":
    main()
