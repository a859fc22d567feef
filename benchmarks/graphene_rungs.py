"""What the cheap levels say of graphene kirigami, against molecular dynamics on the same patterns.

    python -m benchmarks.graphene_rungs

Rank correlations (Spearman, 95 % bootstrap intervals over patterns) of each cheap quantity with what molecular dynamics
gives, what a label costs, and the noise of its seeds: the standard deviation over replicates, and the correlation that
two runs of one pattern have, beyond which no level below can come. The labels come with the package. The last line is
one JSON object.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from physics.tables import LabelSet, graphene_labels

Array = NDArray[np.float64]
MD = "md-tersoff"
WANTED = ("modulus", "strength", "toughness", "yield_strain", "rupture_strain")
PROXIES = {
    "modulus": ("modulus",),
    "strength": ("strength_estimate", "modulus"),
    "toughness": ("toughness_estimate", "strength_estimate", "yield_strain_estimate", "modulus"),
    "yield_strain": ("yield_strain_estimate", "modulus"),
    "rupture_strain": ("yield_strain_estimate", "modulus"),
}
DRAWS = 2000


def agreement(proxy: Array, wanted: Array, rng: np.random.Generator) -> tuple[float, float, float]:
    """Spearman's correlation, of the sign that the whole set gives, and its bootstrap interval."""
    found = float(spearmanr(proxy, wanted).statistic)
    sign = np.sign(found)
    drawn = []
    for _ in range(DRAWS):
        rows = rng.integers(len(proxy), size=len(proxy))
        drawn.append(float(spearmanr(proxy[rows], wanted[rows]).statistic))
    low, high = np.quantile(sign * np.array(drawn), (0.025, 0.975))
    return sign * found, float(low), float(high)


def noise(labels: LabelSet) -> dict[str, dict[str, float]]:
    """Over the patterns with replicates: spread of a seed beside that of the patterns, and two runs' correlation."""
    level = labels.level(MD)
    rows, counts = np.unique(level.rows, return_counts=True)
    repeated = rows[counts > 1]
    result = {}
    for name in WANTED:
        values = [level.responses[name][level.rows == row] for row in repeated]
        within = float(np.sqrt(np.mean([np.var(v, ddof=1) for v in values])))
        between = float(np.std([v.mean() for v in values], ddof=1))
        pairs = np.array([v[:2] for v in values])
        result[name] = {
            "patterns": len(repeated),
            "seed_std": within,
            "pattern_std": between,
            "two_runs": float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic),
        }
    return result


def measure() -> dict[str, Any]:
    """All figures, printed as tables."""
    labels, rng = graphene_labels(), np.random.default_rng(0)
    cost = {name: float(level.cpu_seconds.mean()) for name, level in labels.levels.items()}
    count = {name: len(level.rows) for name, level in labels.levels.items()}
    print("level        labels   CPU s a label")
    for name in labels.levels:
        print(f"{name:12}{count[name]:7}{cost[name]:14.3g}")
    print("\nmolecular dynamics   level     by                        |rank correlation|   95 %")
    table: dict[str, Any] = {}
    for wanted in WANTED:
        truth = labels.first(MD, wanted)
        for level in ("linear", "lattice"):
            for proxy in PROXIES[wanted]:
                if proxy not in labels.level(level).responses:
                    continue
                value = labels.first(level, proxy)
                both = np.isfinite(value) & np.isfinite(truth)
                found, low, high = agreement(value[both], truth[both], rng)
                table.setdefault(wanted, {}).setdefault(level, {})[proxy] = [found, low, high]
                print(f"{wanted:20} {level:9} {proxy:24} {found:8.3f}            {low:.3f} to {high:.3f}")
    seeds = noise(labels)
    print("\nquantity          std over seeds   over patterns   correlation of two runs")
    for name, row in seeds.items():
        print(f"{name:16}{row['seed_std']:15.3g}{row['pattern_std']:16.3g}{row['two_runs']:20.3f}")
    return {"benchmark": "graphene_rungs", "labels": count, "cpu_seconds": cost, "spearman": table, "noise": seeds}


def main() -> None:
    """Measure and print."""
    print(json.dumps(measure()))


if __name__ == "__main__":
    main()
