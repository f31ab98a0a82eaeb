"""Makes tests/golden/statistics.json: values of SciPy that the statistics of reports are tested against.

    python tools/make_golden_statistics.py > tests/golden/statistics.json      (SciPy 1.11 or newer)
"""

import json

import numpy as np
import scipy
from scipy import stats
from scipy.special import gammaln

tail = [
    {"t": t, "df": df, "sf": float(stats.t.sf(t, df))}
    for df in (1.0, 1.7, 2.0, 3.0, 4.0, 5.3, 8.0, 17.5, 100.0)
    for t in (-3.0, -0.4, 0.0, 0.1, 1.0, 2.1, 4.5, 12.0, 60.0)
]
quantile = [
    {"p": p, "df": df, "t": float(stats.t.ppf(p, df))}
    for df in (1.0, 1.7, 2.0, 4.0, 5.3, 8.0, 17.5, 100.0)
    for p in (0.025, 0.5, 0.9, 0.95, 0.975, 0.995)
]


def correction(df):
    return float(np.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / np.sqrt(df / 2))


def case(a, b):
    a, b = np.array(a), np.array(b)
    welch = stats.ttest_ind(a, b, equal_var=False)
    interval = welch.confidence_interval(0.95)
    tost = max(
        stats.ttest_ind(a + 2.0, b, equal_var=False, alternative="greater").pvalue,
        stats.ttest_ind(a - 2.0, b, equal_var=False, alternative="less").pvalue,
    )
    mean_variance = (a.var(ddof=1) + b.var(ddof=1)) / 2
    out = {
        "a": a.tolist(),
        "b": b.tolist(),
        "welch": {
            "p": float(welch.pvalue),
            "df": float(welch.df),
            "low": float(interval.low),
            "high": float(interval.high),
        },
        "tost_2": float(tost),
        "g_av": correction(len(a) + len(b) - 2) * float((a.mean() - b.mean()) / np.sqrt(mean_variance)),
    }
    if len(a) == len(b):
        paired = stats.ttest_rel(a, b)
        interval = paired.confidence_interval(0.95)
        d = a - b
        out["paired"] = {"p": float(paired.pvalue), "low": float(interval.low), "high": float(interval.high)}
        out["g_z"] = correction(len(a) - 1) * float(d.mean() / d.std(ddof=1))
    return out


rng = np.random.default_rng(1)
samples = [
    # Three runs of ours against the authors' five (Split-CIFAR100, TAG-RMSProp).
    case([63.86, 64.92, 62.38], [62.76, 63.06, 62.62, 63.16, 62.33]),
    case([50.0, 51.5, 49.1], [58.0, 60.2, 57.7]),
    case([1.0, 2.0, 4.0, 8.0], [1.5, 2.5, 4.5, 8.6]),
] + [case(rng.normal(60, s, n).round(3), rng.normal(60 + d, 1.5, m).round(3)) for n, m, s, d in
     [(3, 3, 1.0, 0.0), (5, 5, 0.2, 0.5), (5, 3, 3.0, 2.0), (10, 10, 1.0, 0.1), (4, 7, 2.0, -6.0)]]  # fmt: skip


def holm(p):
    order, adjusted, highest = np.argsort(p), np.empty(len(p)), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted.tolist()


# SciPy has no Holm; the first family is worked out by hand: 4 x 0.005, 3 x 0.01, 2 x 0.03, then no lower than that.
families = [[0.01, 0.04, 0.03, 0.005], [0.2, 0.001, 0.02, 0.02, 0.9], [0.5]]
known = [[0.03, 0.06, 0.06, 0.02]]
assert np.allclose(holm(families[0]), known[0])

print(json.dumps({
    "scipy": scipy.__version__,
    "tail": tail,
    "quantile": quantile,
    "samples": samples,
    "holm": [{"p": p, "adjusted": holm(p)} for p in families],
}, indent=1))  # fmt: skip
