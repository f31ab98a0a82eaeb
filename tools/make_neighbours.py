#!/usr/bin/env python3
"""Makes src/experiment/paper/published/neighbours.json of what the neighbouring programs gave on the same data.

    python3 tools/make_neighbours.py NEIGHBOURS.json

NEIGHBOURS.json holds the figures of runs of Mammoth (e75a491), Maximally Interfered Retrieval (35eda78), Gradient Episodic
Memory (34c6b8e) and Stable SGD (be4049c), with every setting. This script says which settings of tagcl mean the same, and what
of each program is not followed.
"""

import json
import sys
from pathlib import Path

OUT = Path(__file__).parent.parent / "src/experiment/paper/published/neighbours.json"

MAMMOTH = "mammoth@e75a491"
MIR = "Maximally_Interfered_Retrieval@35eda78"
GEM = "GradientEpisodicMemory@34c6b8e"
STABLE = "stable-continual-learning@be4049c"


def mean_std(values):
    mean = sum(values) / len(values)
    return {"mean": mean, "std": (sum((x - mean) ** 2 for x in values) / len(values)) ** 0.5}


def row(dataset, label, source, settings, runs, notes=()):
    """runs: (seed, accuracy %, forgetting as a fraction or None, learning accuracy % or None) each."""
    keys = ("seed", "accuracy", "forgetting", "learning_accuracy")
    runs = [dict(zip(keys, run), curve=[]) for run in runs]

    def figure(key):
        values = [run[key] for run in runs]
        return None if None in values else mean_std(values)

    log = {"source": source, "accuracy": figure("accuracy"), "forgetting": figure("forgetting"),
           "learning_accuracy": figure("learning_accuracy"), "runs": runs}
    return {"dataset": dataset, "label": label, "settings": {key: str(value) for key, value in settings.items()},
            "n": len(runs), "printed": [], "log": log, "stated": [], "notes": list(notes)}


def mammoth(entries):
    streams = {
        "seq-mnist": ("Mammoth, Split-MNIST, class-incremental",
                      {"benchmark": "split-mnist", "scenario": "class", "training_classes": "all"}),
        "perm-mnist": ("Mammoth, Permuted MNIST, domain-incremental", {"benchmark": "permuted-mnist", "scenario": "domain"}),
    }
    usual = {"tasks": 5, "hidden": 100, "initial_values": "xavier", "optimizer": "sgd", "profile": "corrected"}
    for entry in entries:
        if entry["dataset"] not in streams:
            continue  # rot-mnist: angles in no order, which no setting has
        dataset, stream = streams[entry["dataset"]]
        own, notes = of_mammoth(entry)
        if own is None:
            continue
        settings = {**stream, **usual, **own, "batch_size": entry["effective"]["batch_size"]}
        settings.setdefault("lr", entry["effective"]["lr"])
        label = f"{entry['method']} {entry['tag']}".strip()
        if entry["first_n_train"] != 60000:
            settings["fraction"] = entry["first_n_train"] / 60000
            notes = [*notes, "Mammoth's runs take the first 12,000 images of the file, these a fifth of each class or task"]
        else:
            label += ", all images"
        figures = [entry["accuracy_class_or_domain_il"]["per_seed"]]
        for key, scale in (("forgetting", 0.01), ("after_learning", 1.0)):
            values = (entry.get(key) or {}).get("per_seed")
            joint = entry["tag"] == "joint" or entry["method"] in ("joint", "gdumb")
            figures.append([None] * len(figures[0]) if joint or not values else [x * scale for x in values])
        yield row(dataset, label, f"a run of {MAMMOTH}", settings, zip(entry["seeds"], *figures), notes)


def of_mammoth(entry):
    """Settings of a method, and what is not followed; None where there is none."""
    effective = entry["effective"]
    buffer = effective.get("buffer_size")
    if entry["tag"] == "joint" or entry["method"] == "joint":
        return {"method": "plain", "schedule": "joint"}, []
    er = {"memory_total": buffer, "reservoir": "uniform", "replay_current": "true", "replay_first": "true", "replay_loss": "joint"}
    match entry["method"]:
        case "sgd":
            return {"method": "plain"}, []
        case "er":
            return {"method": "er", **er}, []
        case "derpp":
            return {"method": "der++", "distillation": effective["alpha"], "replay_weight": effective["beta"],
                    "memory_total": buffer}, []
        case "der":
            return {"method": "der++", "distillation": effective["alpha"], "replay_weight": 0, "memory_total": buffer}, []
        case "er_ace":
            return {"method": "er-ace", "memory_total": buffer}, ["Mammoth's head is a cosine classifier of scale 10, which is not followed"]
        case "agem":
            return {"method": "agem", "memory": "ring", "memory_per_task": effective["batch_size"]}, [
                "Mammoth remembers one training batch a task whatever the size of its memory; so does this row"]
        case "gem" if buffer:
            return {"method": "gem", "gem_memory": buffer // entry["tasks"], "gem_margin": effective["gamma"]}, []
        case "gdumb":
            return {"method": "gdumb", "memory_total": buffer, "gdumb_lr": effective["maxlr"], "gdumb_epochs": 256, "lr": 0.05}, [
                "Mammoth remembers by reservoir and mixes with CutMix, which is not followed; its rows before the last are untrained"]
        case "icarl":
            return {"method": "icarl", "memory_total": buffer}, ["weight decay and the scale of Mammoth's loss are not followed"]
        case "si":
            return {"method": "si", "si_strength": effective["c"], "si_damping": effective["xi"], "si_clip": 1}, []
        case "lwf":
            return {"method": "lwf", "lwf_weight": effective["alpha"], "lwf_temperature": effective["softmax_temp"]}, [
                "Mammoth trains the head alone for an epoch before every later task and decays weights by 0.0005, which is not followed"]
        case "ewc_on":
            # The gradient of Mammoth's penalty is 2 lambda F (theta - theta*); here it is lambda F (theta - theta*).
            return {"method": "online-ewc", "lambda": 2 * effective["e_lambda"]}, [
                "Mammoth weighs each squared gradient by the probability of its label, which is not followed"]
    return None, []


def mir(entries):
    for entry in entries:
        method = {"ER": {"method": "er", "reservoir": "uniform", "replay_current": "false"},
                  "ER-MIR": {"method": "er-mir", "mir_candidates": 50}}[entry["name"]]
        settings = {"benchmark": "split-mnist", "scenario": "class", "training_classes": "all", "tasks": 5, "hidden": 400,
                    "optimizer": "sgd", "profile": "corrected", "samples_per_task": 1010, "memory_total": 500,
                    "lr": entry["lr"], **method}
        notes = ["the program compares with the logits that it remembers of a candidate, which is not followed"] \
            if entry["name"] == "ER-MIR" else []
        learned = [100 * sum(m[i][i] for i in range(5)) / 5 for m in entry["matrix_test"]]
        runs = zip(entry["seeds"], entry["test_accuracy"]["per_seed"],
                   [x / 100 for x in entry["test_forgetting"]["per_seed"]], learned)
        yield row("MIR, Split-MNIST, class-incremental", f"{entry['name']}, lr {entry['lr']}", f"a run of {MIR}", settings, runs, notes)


def gem(entries):
    streams = {"rot": ("GEM, Rotated MNIST, domain-incremental", {"benchmark": "rotated-mnist", "angles": "gem"}),
               "perm": ("GEM, Permuted MNIST, domain-incremental", {"benchmark": "permuted-mnist"})}
    for entry in entries:
        kind, method = entry["name"].split("-")
        own = entry["settings"]
        if method == "ewc":
            continue  # squares the mean gradient of its memory, which no setting does
        dataset, stream = streams[kind]
        settings = {**stream, "scenario": "domain", "tasks": 10, "hidden": 100, "initial_values": "xavier", "optimizer": "sgd",
                    "profile": "corrected", "samples_per_task": 1000, "test_fraction": 0.2, "evaluate_future": "true",
                    "lr": own["lr"], "method": "plain"}
        if method == "gem":
            settings |= {"method": "gem", "gem_memory": own["n_memories"], "gem_margin": own["memory_strength"]}
        runs = []
        for seed, matrix in zip(entry["seeds"], entry["R"]):
            last = matrix[-1]
            best = [max(line[j] for line in matrix[j:]) for j in range(9)]
            forgetting = sum(best[j] - last[j] for j in range(9)) / 9
            runs.append((seed, 100 * sum(last) / 10, forgetting, 100 * sum(matrix[j][j] for j in range(10)) / 10))
        yield row(dataset, method, f"a run of {GEM}", settings, runs)


def stable(entries):
    streams = {"rot": ("Stable SGD, Rotated MNIST, domain-incremental", {"benchmark": "rotated-mnist", "angles": "stable-sgd"}),
               "perm": ("Stable SGD, Permuted MNIST, domain-incremental", {"benchmark": "permuted-mnist"})}
    for entry in entries:
        if entry["tasks"] != 20:
            continue  # a single run has no spread
        dataset, stream = streams[entry["name"].split("-")[0]]
        own = entry["settings"]
        settings = {**stream, "scenario": "domain", "tasks": 20, "hidden": own["hiddens"], "optimizer": "sgd", "profile": "corrected",
                    "momentum": 0.8, "samples_per_task": 6000, "test_fraction": 0.2, "lr": own["lr"], "gamma": own["gamma"],
                    "gamma_from": 0, "lr_floor": 5e-5, "dropout": own["dropout"], "batch_size": own["batch_size"], "method": "plain"}
        runs = zip(entry["seeds"], entry["average_accuracy"]["per_seed"], entry["forgetting"]["per_seed"],
                   entry["after_learning"]["per_seed"])
        notes = ["the program learns the first 6,000 images of the file in every task, these are drawn anew for each"]
        yield row(dataset, entry["name"], f"a run of {STABLE}", settings, runs, notes)


def main():
    found = json.loads(Path(sys.argv[1]).read_text())
    rows = [*mammoth(found["mammoth"]), *mir(found["mir"]), *gem(found["gem"]), *stable(found["stable"])]

    def rounded(value):
        if isinstance(value, float):
            return round(value, 6)
        if isinstance(value, dict):
            return {key: rounded(item) for key, item in value.items()}
        return [rounded(item) for item in value] if isinstance(value, list) else value

    lines = ",\n".join(json.dumps(rounded(row), ensure_ascii=False) for row in rows)
    OUT.write_text(f"[\n{lines}\n]\n")
    print(f"{len(rows)} rows, {OUT.stat().st_size} bytes")


main()
