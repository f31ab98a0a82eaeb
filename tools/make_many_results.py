"""Fills a folder with run folders for timing reports: the results of real runs, copied under other seeds.

    python tools/make_many_results.py DIR OUT COUNT      DIR: folder of run folders with results
"""

import json
import pathlib
import shutil
import sys

source, out, count = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
real = []
for path in sorted(source.rglob("result.json")):
    text = path.read_text()
    result = json.loads(text)
    real.append((path.parent, text, result["run_id"], f'"seed": {result["config"]["seed"]}'))
written = 0
for n in range(count):
    folder, text, run_id, seed = real[n % len(real)]
    new = f"{run_id.rsplit('-s', 1)[0]}-s{1000 + n}-{n:08x}"
    text = text.replace(run_id, new, 1).replace(seed, f'"seed": {1000 + n}', 1)
    target = out / f"{n % 100:02}" / new
    target.mkdir(parents=True)
    (target / "result.json").write_text(text)
    shutil.copy(folder / "config.toml", target / "config.toml")
    written += len(text.encode())
print(f"{count} results of {len(real)} real ones, {written / 1e6:.0f} MB")
