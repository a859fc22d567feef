"""Searched networks against fixed ones on MoS2 kirigami, with few labels and equal compute.

    python -m benchmarks.kirigami_networks [--quick] [--labels N ...] [--subsets N] [--seeds N] [--methods NAME ...]
        [--cpu-seconds S] [--folder F]

Networks learn the logarithms of failure strain and strength from the sheets of a subset of labels, each sheet with its
mirror image, and answer with the mean over both images. R2 is of the strain itself, of its logarithm and of the
strength, on the orbits that `kirigami_regression` holds out, too. Searches see a fifth of the subset's orbits for
validation. Every answer has the same CPU seconds, all counted: half for the search, the rest for training what it chose
anew on the whole subset, as many networks as there is time for.

- DARTS continuous: the supernet, all operations mixed, its weights trained on after the search on the whole subset;
- DARTS pruned: its chosen operations alone, with the weights that the search had left, on two fifths of the labels;
  DARTS discrete: that network trained anew;
- random search and successive halving on the same space;
- resnet, unet, fno, mlp: the fixed families, four learning rates tried in place of a search;
- process: a Gaussian process of rows and pairs of rows, which needs less time than there is;
- features: a process and row networks with linear-elastic features and load paths, as in `kirigami_regression`, where
  they were chosen on a validation part, without a search here;
- ours: features up to 1,000 labels. With more, row networks with features and, with the time that is left, a network
  found by halving, in the shares of least squared error on the validation orbits; all of that counts.

Intervals are 90 % t-intervals over subsets, seeds averaged. Answers are kept in the folder, if one is given, and the
same command goes on. $INVDESIGN_DATA is needed; --quick takes about 90 CPU seconds. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kirigami_answers import FIXED, NAMES, QUICK, RANDOM, Cell, Size, Subset
from benchmarks.kirigami_regression import Data, r2
from benchmarks.mos2_problem import Mos2
from benchmarks.paired import against, rounded
from surrogates.runtime import torch_threads


def benchmark(data: Data, size: Size, names: Sequence[str], folder: Path | None = None) -> dict[str, Any]:
    """Measures and prints."""
    result: dict[str, Any] = {"r2_strain": {}, "r2_log_strain": {}, "r2_stress": {}, "cpu_seconds": {}, "against": {}}
    print(f"linear-elastic features and load paths of all sheets: {data.features_cpu_seconds:.1f} CPU s")
    for count in size.labels:
        found: dict[str, list[list[float]]] = {name: [] for name in names}
        spent: dict[str, list[float]] = {name: [] for name in names}
        for number in range(size.subsets):
            subset = Subset(data, count, number)
            for seed in range(size.seeds):
                cell = Cell(subset, seed, size, folder)
                true = data.labels[subset.test]
                for name in names:
                    one = cell.answer(name)
                    strain, stress = r2(true, np.exp(one.values))
                    found[name].append([strain, r2(np.log(true), one.values)[0], stress])
                    spent[name].append(one.cpu_seconds)
                    print(
                        f"{count:6d} labels, subset {number}, seed {seed}: {name:18s} strain {strain:6.3f}  "
                        f"stress {stress:6.3f}  {one.cpu_seconds:6.1f} CPU s  {one.members:2d} nets",
                        flush=True,
                    )
        print(f"\n{count} labels   {'R2 strain':>18}{'log strain':>14}{'stress':>14}{'CPU s':>9}")
        for name in names:
            middle = np.mean(found[name], axis=0)
            cost = float(np.mean(spent[name]))
            print(f"  {name:20s}{middle[0]:12.3f}{middle[1]:14.3f}{middle[2]:14.3f}{cost:9.1f}")
            for key, value in zip(list(result)[:3], middle, strict=True):
                result[key].setdefault(name, {})[str(count)] = rounded(float(value))
            result["cpu_seconds"].setdefault(name, {})[str(count)] = round(cost, 1)
        strains = {name: np.array(found[name])[:, 0].reshape(size.subsets, size.seeds).tolist() for name in names}
        for baseline in (RANDOM, best_fixed(strains)):
            if baseline in strains:
                told = against(strains, baseline, "R2 strain")
                result["against"].setdefault(str(count), {})[baseline] = told
    return {"benchmark": "kirigami_networks", "subsets": size.subsets, "seeds": size.seeds, **result}


def best_fixed(strains: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """The fixed family of the highest mean, or an empty name."""
    known = {name: float(np.mean(strains[name])) for name in FIXED if name in strains}
    return max(known, key=known.__getitem__, default="")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="300 labels, one subset and seed, short trainings")
    parser.add_argument("--labels", type=int, nargs="+", choices=Size().labels)
    parser.add_argument("--subsets", type=int)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--methods", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--cpu-seconds", type=float, help="of each answer; 30, 35, 45 for 300, 1,000, 3,000 labels")
    parser.add_argument("--folder", type=Path, help="keep the answers there")
    options = parser.parse_args(arguments)
    if not os.environ.get("INVDESIGN_DATA"):
        parser.error("set INVDESIGN_DATA to the folder of kirigami_mos2_md.csv")
    size = QUICK if options.quick else Size()
    if not set(options.labels or ()) <= set(size.cpu_seconds):
        parser.error(f"expected labels among {sorted(size.cpu_seconds)}")
    size = replace(
        size,
        labels=tuple(options.labels or size.labels),
        subsets=options.subsets or size.subsets,
        seeds=options.seeds or size.seeds,
        cpu_seconds={n: options.cpu_seconds or given for n, given in size.cpu_seconds.items()},
    )
    began = time.process_time()
    with torch_threads(1):
        report = benchmark(Data(Mos2()), size, options.methods, options.folder)
    print(json.dumps({**report, "total_cpu_seconds": round(time.process_time() - began, 1)}))


if __name__ == "__main__":
    main()
