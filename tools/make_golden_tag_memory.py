"""Makes tests/golden/tag_memory.json: TAG with its memories `flat` and `clusters`, in double precision.

    python tools/make_golden_tag_memory.py > tests/golden/tag_memory.json      (NumPy)

Written from docs/methods/tag-memory.md alone. Gradients and initial values come from formulas and are rounded to single
precision, so that a test can make them again; all else is in double precision, but for what is stored in bfloat16.
"""

import json
import sys

import numpy as np

SHAPES = {"conv.weight": (3, 2, 3, 3), "fc.weight": (5, 7), "fc.bias": (5,), "norm.weight": (4,)}
KINDS = {"conv.weight": "convolution", "fc.weight": "linear", "fc.bias": "linear", "norm.weight": "norm"}
NAMES = list(SHAPES)
TASKS, STEPS = 6, 7
WORD = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def fill(name, salt, scale):
    """scale * sin(0.7 i + 1.3 salt) over the row-major index i, in single precision."""
    i = np.arange(np.prod(SHAPES[name]))
    return np.float32(scale * np.sin(0.7 * i + 1.3 * salt)).astype(np.float64)


def gradient(name, task, step):
    k = NAMES.index(name)
    along = (1.0, -0.8, 0.5, 0.9, -1.1, 0.2)[task]
    shared = fill(name, 100 * k + 7, 0.4 * along)
    own = fill(name, 11 * task + 3 * step + 100 * k, 0.5)
    return np.float32(shared + own).astype(np.float64)


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def signs(tensor, block, size):
    """The two diagonals of a block."""
    state = mix((0x7461675F736B6574 + (tensor + 1) * GOLDEN) & WORD)
    state = mix((state + (block + 1) * GOLDEN) & WORD)
    diagonals = []
    for _ in range(2):
        bits = []
        while len(bits) < size:
            state = (state + GOLDEN) & WORD
            word = mix(state)
            bits += [word >> i & 1 for i in range(64)]
        diagonals.append(1.0 - 2.0 * np.array(bits[:size]))
    return diagonals


def hadamard(size):
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.kron([[1.0, 1.0], [1.0, -1.0]], matrix)
    return matrix


def sketch(tensor, x, size):
    if size is None or len(x) <= size:
        return x.copy()
    total = np.zeros(size)
    for block, start in enumerate(range(0, len(x), size)):
        part = np.zeros(size)
        part[: len(x[start : start + size])] = x[start : start + size]
        before, after = signs(tensor, block, size)
        total += after * (hadamard(size) @ (before * part))
    return total / np.sqrt(size)


def spread(n, size):
    """Variance of the estimated cosine for energy spread evenly."""
    if size is None or n <= size:
        return 0.0
    blocks = [min(size, n - start) for start in range(0, n, size)]
    return (1.0 - sum((b / n) ** 2 for b in blocks)) / size


def bits_of(x):
    return np.float32(x).view(np.uint32).astype(np.uint64)


def bfloat(bits):
    return (bits << np.uint64(16)).astype(np.uint32).view(np.float32).astype(np.float64)


def nearest(x):
    """bfloat16, ties to even."""
    bits = bits_of(x)
    return bfloat((bits + np.uint64(0x7FFF) + (bits >> np.uint64(16) & np.uint64(1))) >> np.uint64(16))


def at_random(x, number):
    """bfloat16 of a sum: the truncation of the bits plus 16 bits of place and number."""
    noise = [mix_sum(place, number) for place in range(len(x))]
    return bfloat((bits_of(x) + np.array(noise, dtype=np.uint64)) >> np.uint64(16))


def mix_sum(place, number):
    z = (place * GOLDEN + number * 0xD1B54A32D192ED03) & WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z >> 48


def flat_of(tensors):
    return np.concatenate([tensors[n] for n in NAMES])


def tensors_of(flat):
    ends = np.cumsum([np.prod(SHAPES[n]) for n in NAMES])
    return dict(zip(NAMES, np.split(flat, ends[:-1])))


class Flat:
    def __init__(self, b=5.0, alpha="cosine", scales=None):
        self.own = 1.0 if alpha == "one" else np.exp(-b)
        self.scales = {"norm": 1.0, "convolution": 1.0, "linear": 1.0} | (scales or {})
        self.total, self.members = None, []

    def weights(self, step, M):
        if self.total is None:
            return [[1.0] * len(NAMES)]
        return [[self.scales[KINDS[n]] for n in NAMES], [self.own] * len(NAMES)]

    def sums(self):
        return [] if self.total is None else [self.total]

    def end(self, M, V):
        self.total = V if self.total is None else {n: self.total[n] + V[n] for n in NAMES}


class Clusters:
    def __init__(self, b=5.0, clusters=3, sketch=256, refresh=10, first=5, merge="ward", debias=True, scope="tensor", half=False):
        self.b, self.count, self.size, self.every, self.first = b, clusters, sketch, refresh, first
        self.rule, self.debias, self.scope, self.half = merge, debias, scope, half
        self.clusters, self.tasks, self.rows = [], 0, None

    @property
    def members(self):
        return [c["members"] for c in self.clusters]

    def sums(self):
        return [c["V"] for c in self.clusters]

    def weights(self, step, M):
        own = [1.0 if self.tasks == 0 else np.exp(-self.b)] * len(NAMES)
        if step == 1:
            self.rows = [[1.0] * len(NAMES) for _ in self.clusters]
        if step >= self.first and (step - self.first) % self.every == 0:
            self.rows = [self.alpha(c, M) for c in self.clusters]
        return self.rows + [own]

    def alpha(self, c, M):
        m = len(c["members"])
        dots, energy, noise = [], [], []
        for t, n in enumerate(NAMES):
            dots.append(float(sketch(t, M[n], self.size) @ c["D"][n]))
            energy.append(float(M[n] @ M[n]))
            noise.append(spread(len(M[n]), self.size) * float(c["D"][n] @ c["D"][n]) / m**2)
        if self.scope == "global":
            whole = sum(energy)
            cosines = [sum(dots) / np.sqrt(whole) / m] * len(NAMES)
            noise = [sum(e / whole * v for e, v in zip(energy, noise))] * len(NAMES)
        else:
            cosines = [d / np.sqrt(e) / m for d, e in zip(dots, energy)]
        bias = [np.exp(self.b**2 * v / 2) if self.debias else 1.0 for v in noise]
        return [float(np.exp(-self.b * np.clip(x, -1, 1)) / y) for x, y in zip(cosines, bias)]

    def end(self, M, V):
        norms = {n: np.linalg.norm(M[n]) for n in NAMES}
        if self.scope == "global":
            norms = dict.fromkeys(NAMES, np.linalg.norm(flat_of(M)))
        D = {n: sketch(t, M[n], self.size) / norms[n] for t, n in enumerate(NAMES)}
        if self.half:
            V = {n: nearest(V[n]) for n in NAMES}
        self.clusters.append({"members": [self.tasks], "V": V, "D": D})
        self.tasks += 1
        if len(self.clusters) <= self.count:
            return
        pairs = [(i, j) for i in range(len(self.clusters)) for j in range(i + 1, len(self.clusters))]
        i, j = pairs[0] if self.rule == "oldest" else min(pairs, key=lambda p: self.ward(*p))
        a, b = self.clusters[i], self.clusters.pop(j)
        a["members"] = sorted(a["members"] + b["members"])
        total = flat_of(a["V"]) + flat_of(b["V"])
        a["V"] = tensors_of(at_random(total, self.tasks) if self.half else total)
        a["D"] = {n: a["D"][n] + b["D"][n] for n in NAMES}

    def ward(self, i, j):
        a, b = self.clusters[i], self.clusters[j]
        n, m = len(a["members"]), len(b["members"])
        cosine = lambda x, y: float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
        if self.scope == "global":
            mean = cosine(flat_of(a["D"]), flat_of(b["D"]))
        else:
            mean = np.mean([cosine(a["D"][k], b["D"][k]) for k in NAMES])
        return n * m / (n + m) * (1.0 - mean)


def run(base, memory, inside=False, lr=0.01):
    beta1, beta2, eps = 0.9, (0.999 if base == "adam" else 0.99), 1e-8
    theta = {n: fill(n, k + 1, 0.3) for k, n in enumerate(NAMES)}
    out = []
    for task in range(TASKS):
        M = {n: np.zeros(np.prod(SHAPES[n])) for n in NAMES}
        V = {n: np.zeros(np.prod(SHAPES[n])) for n in NAMES}
        members = [list(m) for m in memory.members]
        alphas = []
        for step in range(1, STEPS + 1):
            g = {n: gradient(n, task, step - 1) for n in NAMES}
            for n in NAMES:
                M[n] = beta1 * M[n] + (1 - beta1) * g[n]
                V[n] = V[n] + g[n] ** 2 if base == "adagrad" else beta2 * V[n] + (1 - beta2) * g[n] ** 2
            weights = memory.weights(step, M)
            for k, n in enumerate(NAMES):
                vectors = [s[n] for s in memory.sums()] + [V[n]]
                under = sum(row[k] * v for row, v in zip(weights, vectors))
                c1, c2 = (1 - beta1**step, 1 - beta2**step) if base == "adam" else (1.0, 1.0)
                numerator = (M[n] if base == "adam" else g[n]) / c1
                root = np.sqrt(under + eps) / np.sqrt(c2) if inside else np.sqrt(under) / np.sqrt(c2) + eps
                theta[n] = theta[n] - lr * numerator / root
            alphas.append([float(x) for row in weights for x in row])
        memory.end({n: M[n] for n in NAMES}, {n: V[n] for n in NAMES})
        values = [float(np.float32(x)) for x in flat_of(theta)]
        out.append({"members": members, "alphas": alphas, "theta": values})
    return out


SMALL = {"clusters": 2, "sketch": 16, "refresh": 3, "first": 2}
CASES = {
    "flat-rmsprop": ("rmsprop", Flat, {}, False),
    "flat-adagrad": ("adagrad", Flat, {}, False),
    "flat-adam": ("adam", Flat, {}, False),
    "flat-b2-inside": ("rmsprop", Flat, {"b": 2.0}, True),
    "flat-one": ("rmsprop", Flat, {"alpha": "one"}, False),
    "flat-scales": ("rmsprop", Flat, {"scales": {"norm": 2.0, "convolution": 1.5, "linear": 0.5}}, False),
    "clusters-rmsprop": ("rmsprop", Clusters, SMALL, False),
    "clusters-adagrad": ("adagrad", Clusters, SMALL, False),
    "clusters-adam": ("adam", Clusters, SMALL, False),
    "clusters-3-of-8": ("rmsprop", Clusters, {**SMALL, "clusters": 3, "sketch": 8, "b": 2.0}, False),
    "clusters-1": ("rmsprop", Clusters, {**SMALL, "clusters": 1, "refresh": 2, "first": 1}, False),
    "clusters-exact": ("rmsprop", Clusters, {**SMALL, "sketch": None}, False),
    "clusters-oldest": ("rmsprop", Clusters, {**SMALL, "merge": "oldest"}, False),
    "clusters-biased": ("rmsprop", Clusters, {**SMALL, "debias": False}, False),
    "clusters-global": ("rmsprop", Clusters, {**SMALL, "scope": "global"}, False),
    "clusters-bf16": ("rmsprop", Clusters, {**SMALL, "half": True}, False),
}

cases = {}
for name, (base, memory, settings, inside) in CASES.items():
    tasks = run(base, memory(**settings), inside)
    cases[name] = {"base": base, "inside": inside, "settings": settings, "tasks": tasks}
golden = {"shapes": SHAPES, "tasks": TASKS, "steps": STEPS, "lr": 0.01, "cases": cases}


def short(x):
    """Eight digits of every number."""
    if isinstance(x, float):
        return float(f"{x:.8g}")
    if isinstance(x, dict):
        return {k: short(v) for k, v in x.items()}
    return [short(v) for v in x] if isinstance(x, (list, tuple)) else x


json.dump(short(golden), sys.stdout, separators=(",", ":"))
print()
