"""Regression of the MoS2 table: load paths against a graph search, row networks, the noise ceiling with all labels."""

import numpy as np
import pytest
import torch
from scipy.sparse import lil_array
from scipy.sparse.csgraph import dijkstra

from benchmarks.kirigami_regression import Data, scores
from benchmarks.mos2_paths import INSETS, ligaments, load_paths
from benchmarks.mos2_problem import Mos2
from benchmarks.row_nets import RowNets
from invdesign.spaces.row_cuts import mos2_row_cuts
from physics.tables import mos2_sheet
from tests.mos2 import table_or_skip

SHEET = mos2_sheet()


def test_load_paths_are_shortest_paths_of_a_graph():
    codes = np.array([[0, 0, 0, 0], [6, 3, 12, 2], [1, 9, 4, 8], [11, 8, 7, 3]])
    found = load_paths(SHEET, codes)
    for number, inset in enumerate(INSETS):
        points, open_ = ligaments(SHEET, inset)
        for sheet, code in enumerate(codes):
            count = len(points)
            graph = lil_array((4 * count, 4 * count))
            for row in range(3):
                for a in np.flatnonzero(open_[code[row]]):
                    for b in np.flatnonzero(open_[code[row + 1]]):
                        # Sparse graphs have no edges of weight 0: each of the three steps is longer by 1.
                        length = np.hypot(SHEET.pitch_angstrom, points[a] - points[b])
                        graph[row * count + a, (row + 1) * count + b] = 1 + length - SHEET.pitch_angstrom
            first = np.flatnonzero(open_[code[0]])
            least = dijkstra(graph.tocsr(), indices=first, min_only=True)[3 * count :].min() - 3
            assert np.isclose(found.whole[sheet, number] ** 2, least, atol=1e-9)
    assert np.allclose(found.whole[0, :2], 0) and np.allclose(found.rows[0, :, 2], 1)


def test_load_paths_of_mirror_images_are_mirrored():
    codes = mos2_row_cuts().everything(50_000)[::997]
    here, there = load_paths(SHEET, codes), load_paths(SHEET, codes[:, ::-1])
    assert np.allclose(here.whole, there.whole)
    assert np.allclose(here.rows, there.rows[:, ::-1])
    assert np.allclose(here.pairs, there.pairs[:, ::-1])


def test_row_networks_learn_a_sum_over_rows_and_are_symmetric():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 4, 3))
    both = np.stack([rows, rows[:, ::-1]])
    values = (rows[:, :, 0] * rows[:, :, 1]).sum(1, keepdims=True) / 2
    whole = np.zeros((300, 0))
    nets = RowNets(members=2, width=16, head=16, steps=150, rate=1e-2)
    found = nets.answers(both[:, :200], whole[:200], values[:200], both[:, 200:], whole[200:], 0)
    assert ((found - values[200:]) ** 2).mean() < 0.3 * values.var()
    mirrored = nets.answers(both[:, :200], whole[:200], values[:200], both[::-1, 200:], whole[200:], 0)
    assert np.allclose(found, mirrored, atol=1e-5)


def test_validation_leaves_the_held_out_orbits_alone():
    data = Data(Mos2(table_or_skip()))
    kept, held = data.split()
    trained, judged = Data(data.table, validation=True).split()
    orbit = data.table.orbit
    assert len(kept) + len(held) == len(orbit) and not set(orbit[kept]) & set(orbit[held])
    assert not set(orbit[trained]) & set(orbit[judged])
    assert set(trained) | set(judged) == set(kept)


@pytest.mark.slow
def test_a_perceptron_with_all_labels_reaches_the_noise_ceiling():
    torch.set_num_threads(1)
    data = Data(Mos2(table_or_skip()))
    strain, _, stress = scores(data, "mlp", len(data.split()[0]), 0)
    # Strain 0.919 as measured; mirrored pairs bound the two at 0.941 and 0.997.
    assert strain >= 0.91
    assert stress >= 0.985
