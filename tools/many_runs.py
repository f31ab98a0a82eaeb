"""Times `tagcl status` and the collection of results over 10,000 finished run folders, made from one real run.

usage: many_runs.py TAGCL FOLDER
"""
import json, os, subprocess, sys, time
tagcl, work = sys.argv[1], sys.argv[2]
os.makedirs(work, exist_ok=True)
open(f"{work}/one.toml", "w").write("""seeds = "1"
[base]
benchmark = "rotated-mnist"
data = "embedded"
optimizer = "tag-rmsprop"
lr = 0.001
fraction = 0.02
hidden = 8
[grid]
tasks = [10]
""")
open(f"{work}/many.toml", "w").write(open(f"{work}/one.toml").read().replace('"1"', '"1-10000"'))
subprocess.run([tagcl, "sweep", f"{work}/one.toml", "--out", f"{work}/one"], check=True, stdout=subprocess.DEVNULL)
one = [d for d in os.listdir(f"{work}/one") if os.path.isdir(f"{work}/one/{d}")][0]
files = {f: open(f"{work}/one/{one}/{f}", "rb").read() for f in os.listdir(f"{work}/one/{one}") if os.path.isfile(f"{work}/one/{one}/{f}")}
dry = json.loads(subprocess.run([tagcl, "sweep", f"{work}/many.toml", "--dry-run", "--json"], check=True, capture_output=True).stdout)
ids = dry["stages"][0]["runs"]
assert len(ids) == 10000
for seed, name in enumerate(ids, 1):
    folder = f"{work}/many/{name}"
    os.makedirs(folder, exist_ok=True)
    result = json.loads(files["result.json"])
    result["run_id"], result["config"]["seed"] = name, seed
    text = (json.dumps(result, indent=2) + "\n").encode()
    beat = json.loads(files["status.json"])
    beat["result_bytes"] = len(text)
    for file, data in {**files, "result.json": text, "status.json": json.dumps(beat).encode()}.items():
        if file != "model.safetensors":
            open(f"{folder}/{file}", "wb").write(data)
print(len(ids), "folders,", len(text), "bytes a result")
def timed(what, command):
    began = time.time()
    out = subprocess.run(command, capture_output=True, text=True)
    print(f"{what}: {time.time() - began:.2f} s, exit {out.returncode}:", out.stdout.strip().splitlines()[:1], out.stderr.strip().splitlines()[-2:])
timed("status", [tagcl, "status", f"{work}/many"])
timed("status again", [tagcl, "status", f"{work}/many"])
timed("collect", [tagcl, "sweep", f"{work}/many.toml", "--out", f"{work}/many", "--jobs", "2"])
timed("status with the manifest", [tagcl, "status", f"{work}/many"])
